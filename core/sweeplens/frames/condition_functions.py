"""The functions of conditions: the kinds of their arguments and of their result, and their Polars expressions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import polars as pl
from msgspec import Struct

from sweeplens.errors import InputError, nearest

__all__ = ["FUNCTIONS", "FunctionRule", "function_names", "no_function", "remainder"]


class FunctionRule(Struct, frozen=True):
    """The kinds of a function's arguments and of its result, and how its expression is made."""

    takes: tuple[str, ...]
    gives: str
    make: Callable[[Sequence[pl.Expr]], pl.Expr]


def remainder(x: pl.Expr, y: pl.Expr) -> pl.Expr:
    """Returns the remainder with the sign of the dividend, as in SQL."""
    return x.sign() * (x.abs() % y.abs())


FUNCTIONS: dict[str, FunctionRule] = {
    "abs": FunctionRule(("number",), "number", lambda x: x[0].abs()),
    "ceil": FunctionRule(("number",), "number", lambda x: x[0].ceil()),
    "ceiling": FunctionRule(("number",), "number", lambda x: x[0].ceil()),
    "floor": FunctionRule(("number",), "number", lambda x: x[0].floor()),
    "sign": FunctionRule(("number",), "number", lambda x: x[0].sign()),
    "sqrt": FunctionRule(("number",), "number", lambda x: x[0].sqrt()),
    "exp": FunctionRule(("number",), "number", lambda x: x[0].exp()),
    "ln": FunctionRule(("number",), "number", lambda x: x[0].log()),
    "log": FunctionRule(("number",), "number", lambda x: x[0].log10()),
    "log10": FunctionRule(("number",), "number", lambda x: x[0].log10()),
    "log2": FunctionRule(("number",), "number", lambda x: x[0].log(2)),
    "pow": FunctionRule(("number", "number"), "number", lambda x: x[0] ** x[1]),
    "power": FunctionRule(("number", "number"), "number", lambda x: x[0] ** x[1]),
    "mod": FunctionRule(("number", "number"), "number", lambda x: remainder(x[0], x[1])),
    "isnan": FunctionRule(("number",), "bool", lambda x: x[0].is_nan()),
    "is_nan": FunctionRule(("number",), "bool", lambda x: x[0].is_nan()),
    "isinf": FunctionRule(("number",), "bool", lambda x: x[0].is_infinite()),
    "is_infinite": FunctionRule(("number",), "bool", lambda x: x[0].is_infinite()),
    "isfinite": FunctionRule(("number",), "bool", lambda x: x[0].is_finite()),
    "is_finite": FunctionRule(("number",), "bool", lambda x: x[0].is_finite()),
    "lower": FunctionRule(("text",), "text", lambda x: x[0].str.to_lowercase()),
    "upper": FunctionRule(("text",), "text", lambda x: x[0].str.to_uppercase()),
    "trim": FunctionRule(("text",), "text", lambda x: x[0].str.strip_chars()),
    "length": FunctionRule(("text",), "number", lambda x: x[0].str.len_chars()),
    "char_length": FunctionRule(("text",), "number", lambda x: x[0].str.len_chars()),
    "starts_with": FunctionRule(("text", "text"), "bool", lambda x: x[0].str.starts_with(x[1])),
    "ends_with": FunctionRule(("text", "text"), "bool", lambda x: x[0].str.ends_with(x[1])),
    "contains": FunctionRule(("text", "text"), "bool", lambda x: x[0].str.contains(x[1], literal=True)),
    "array_length": FunctionRule(("list",), "number", lambda x: x[0].list.len()),
}
_SHOWN = 200  # characters of a name that an error repeats
_OF_TIME = (
    "now",
    "current_timestamp",
    "current_date",
    "today",
    "date",
    "datetime",
    "timestamp",
    "to_date",
    "date_sub",
    "strftime",
)
_OTHER_FUNCTIONS = ("array_contains", "coalesce", "greatest", "ifnull", "least", "nullif", "regexp_like", "round")
"""Functions that `ExpressionBuilder` builds, because the kinds of their arguments vary."""


def function_names() -> list[str]:
    """Returns the names of all functions, sorted."""
    return sorted((*FUNCTIONS, *_OTHER_FUNCTIONS))


def no_function(name: str) -> InputError:
    """Returns the error for a function that conditions lack: the nearest, and how times are compared."""
    if name in _OF_TIME:
        return InputError(
            f"No function {name!r} in a condition: compare a time with a text, as in created_at > '2026-01-31'."
        )
    known = function_names()
    near = nearest(name, known)
    offer = f" Nearest: {', '.join(near)}." if near else ""
    return InputError(
        f"No function {name[:_SHOWN]!r} in a condition.{offer} Available: {', '.join(known)}; query_sql has more."
    )
