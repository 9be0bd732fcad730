"""The functions of conditions: the kinds of their arguments and of their result, and their Polars expressions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import polars as pl
from msgspec import Struct

__all__ = ["FUNCTIONS", "FunctionRule", "function_names", "remainder"]


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
_OTHER_FUNCTIONS = ("array_contains", "coalesce", "greatest", "ifnull", "least", "nullif", "regexp_like", "round")
"""Functions that `ExpressionBuilder` builds, because the kinds of their arguments vary."""


def function_names() -> list[str]:
    """Returns the names of all functions, sorted."""
    return sorted((*FUNCTIONS, *_OTHER_FUNCTIONS))
