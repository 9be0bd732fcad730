"""Turns a condition's tree into one Polars expression with its kind of value, and checks the kinds.

Kinds are number, text, bool, time, list, other and null. Values of different kinds are never compared, with two exceptions:
booleans equal 1 and 0, and a time is compared with a text that is a time. Arithmetic uses floats.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import polars as pl
from msgspec import Struct

from sweeplens.errors import InputError, UnknownNameError, nearest
from sweeplens.frames.condition_functions import FUNCTIONS, no_function, remainder
from sweeplens.frames.condition_text import ColumnNode, ConditionNode, LiteralNode, OperationNode
from sweeplens.frames.pattern_search import like_search, regex_search
from sweeplens.frames.patterns import check_length, check_regex
from sweeplens.frames.schemas import SERIES_STATS, STATUSES
from sweeplens.frames.text_searches import TextSearches

__all__ = ["ExpressionBuilder", "TypedExpression", "kind_of", "source_of"]

_SHOWN = 80
_WORDS = {"status": ("finished", *STATUSES), "health": ("broken", "suspect", "ok")}  # all values of a column
_MOST_DIGITS = 15
_MOST_COALESCED = 10
_KIND_NAMES = {
    "number": "a number", "text": "text", "bool": "true or false", "time": "a time", "list": "a list",
    "other": "a structure", "null": "NULL",
}  # fmt: skip


class TypedExpression(Struct, frozen=True):
    """An expression, its kind of value, and its node."""

    expr: pl.Expr
    kind: str
    node: ConditionNode


def kind_of(dtype: pl.DataType) -> str:
    """Returns the kind of values in a column."""
    if dtype.is_numeric():
        return "number"
    if isinstance(dtype, pl.String | pl.Categorical | pl.Enum):
        return "text"
    if isinstance(dtype, pl.Datetime | pl.Date):
        return "time"
    if isinstance(dtype, pl.List | pl.Array):
        return "list"
    return "bool" if isinstance(dtype, pl.Boolean) else "null" if isinstance(dtype, pl.Null) else "other"


def source_of(text: str, node: ConditionNode) -> str:
    """Returns the part of a condition's text that belongs to a node."""
    part = text[node.at : node.end]
    return part if len(part) <= _SHOWN else f"{part[:_SHOWN]}..."


_ARITHMETIC: dict[str, Callable[[pl.Expr, pl.Expr], pl.Expr]] = {
    "+": lambda x, y: x + y, "-": lambda x, y: x - y, "*": lambda x, y: x * y, "/": lambda x, y: x / y,
    "//": lambda x, y: x // y, "%": remainder,
}  # fmt: skip
_COMPARISONS: dict[str, Callable[[pl.Expr, pl.Expr], pl.Expr]] = {
    "=": lambda x, y: x == y, "<>": lambda x, y: x != y, "<": lambda x, y: x < y, "<=": lambda x, y: x <= y,
    ">": lambda x, y: x > y, ">=": lambda x, y: x >= y,
    "is distinct from": lambda x, y: x.ne_missing(y), "is not distinct from": lambda x, y: x.eq_missing(y),
}  # fmt: skip
_REGEX_FLAGS = {"~": "", "!~": "", "~*": "(?i)", "!~*": "(?i)"}


class ExpressionBuilder:
    """Builds the expressions of one condition over one table. ``unknown`` makes the error for an unknown name."""

    def __init__(self, text: str, searches: TextSearches, unknown: Callable[[ColumnNode], UnknownNameError]) -> None:
        self._text, self._searches, self._unknown = text, searches, unknown
        self._schema: Mapping[str, pl.DataType] = searches.table.schema

    def build(self, node: ConditionNode) -> TypedExpression:
        """Returns the expression of a node. Raises InputError if the kinds of its operands do not match."""
        if isinstance(node, LiteralNode):
            return _literal(node)
        if isinstance(node, ColumnNode):
            return self._column(node)
        operator = node.operator
        if operator in _COMPARISONS:
            return self._comparison(node, operator)
        if operator in _ARITHMETIC:
            left, right = (self._number(self.build(part)) for part in node.parts)
            return TypedExpression(_ARITHMETIC[operator](left, right), "number", node)
        if operator in _REGEX_FLAGS:
            return self._regex(node)
        if operator.endswith("()"):
            return self._call(node, operator.removesuffix("()"))
        return self._other(node, operator)

    def _other(self, node: OperationNode, operator: str) -> TypedExpression:
        match operator:
            case "and" | "or":
                parts = [self._truth(self.build(part)) for part in node.parts]
                joined = pl.all_horizontal(parts) if operator == "and" else pl.any_horizontal(parts)
                return TypedExpression(joined, "bool", node)
            case "not":
                return TypedExpression(self._truth(self.build(node.parts[0])).not_(), "bool", node)
            case "is null":
                return TypedExpression(self.build(node.parts[0]).expr.is_null(), "bool", node)
            case "is true" | "is false":
                value = self._truth(self.build(node.parts[0]))
                return TypedExpression(value.eq_missing(pl.lit(operator == "is true")), "bool", node)
            case "in":
                return self._membership(node)
            case "between":
                return self._between(node)
            case "like" | "ilike":
                return self._like(node)
            case "||":
                return self._concatenated(node)
            case "neg" | "pos":
                value = self._number(self.build(node.parts[0]))
                return TypedExpression(-value if operator == "neg" else value, "number", node)
            case _:
                return self._cast(node, operator.removeprefix("cast "))

    # ------------------------------------------------------------ operands

    def _column(self, node: ColumnNode) -> TypedExpression:
        if node.name not in self._schema or (not node.quote and "." in node.name):
            raise self._unknown(node)
        kind = kind_of(self._schema[node.name])
        if node.name.startswith(("^", "*")):  # Polars would treat such a name as a pattern
            return TypedExpression(pl.nth(list(self._schema).index(node.name)), kind, node)
        return TypedExpression(pl.col(node.name), kind, node)

    def _number(self, value: TypedExpression) -> pl.Expr:
        if value.kind not in ("number", "null"):
            raise self._kind_error(value, "a number")
        return value.expr.cast(pl.Float64)

    def _truth(self, value: TypedExpression) -> pl.Expr:
        if value.kind not in ("bool", "null"):
            raise self._kind_error(value, "a true or false value, such as a comparison")
        return value.expr.cast(pl.Boolean)

    def _string(self, value: TypedExpression) -> pl.Expr:
        if value.kind not in ("text", "null"):
            raise self._kind_error(value, "text")
        return value.expr.cast(pl.String)

    def _constant(self, node: ConditionNode, what: str) -> str:
        if not isinstance(node, LiteralNode) or not isinstance(node.value, str):
            raise InputError(
                f"{source_of(self._text, node)!r} in the condition cannot be {what}: write a text in single quotes."
            )
        return node.value

    def _kind_error(self, value: TypedExpression, wanted: str) -> InputError:
        return InputError(
            f"{source_of(self._text, value.node)!r} in the condition is {_KIND_NAMES[value.kind]}, but {wanted} is needed."
        )

    # --------------------------------------------------------- comparisons

    def _comparison(self, node: OperationNode, operator: str) -> TypedExpression:
        one, other = node.parts
        self._check_quotes(one, other)
        left, right = self._pair(node, self.build(one), self.build(other))
        return TypedExpression(_COMPARISONS[operator](left, right), "bool", node)

    def _pair(self, node: OperationNode, left: TypedExpression, right: TypedExpression) -> tuple[pl.Expr, pl.Expr]:
        """Returns both sides of a comparison, checked to be of one kind."""
        if left.kind == "time" and right.kind == "text":
            right = self._as_time(right)
        elif left.kind == "text" and right.kind == "time":
            left = self._as_time(left)
        kinds = {left.kind, right.kind} - {"null"}
        comparable = len(kinds) <= 1 or self._equal_to_one_or_zero(node, left, right)
        if not comparable or kinds & {"list", "other"}:
            raise self._incomparable(node, left, right)
        return left.expr, right.expr

    def _equal_to_one_or_zero(self, node: OperationNode, left: TypedExpression, right: TypedExpression) -> bool:
        return (
            {left.kind, right.kind} == {"bool", "number"}
            and node.operator in ("=", "<>", "in")
            and not any(isinstance(side.node, OperationNode) for side in (left, right))
        )

    def _check_quotes(self, one: ConditionNode, other: ConditionNode) -> None:
        """Raises the error for ``status = finished``: text without quotes, or in double quotes."""
        for column, value in ((one, other), (other, one)):
            if not (isinstance(column, ColumnNode) and isinstance(value, ColumnNode)) or value.name in self._schema:
                continue
            dtype = self._schema.get(column.name)
            remedy = _remedy(source_of(self._text, column), column.name, kind_of(dtype), value.name) if dtype else ""
            if remedy:
                fault = "names a column" if value.quote else "without quotes names a column"
                raise UnknownNameError(f"No column {value.name!r}: {source_of(self._text, value)} {fault}; {remedy}.")

    def _incomparable(self, node: OperationNode, left: TypedExpression, right: TypedExpression) -> InputError:
        """Returns the error for operands that cannot be compared."""
        sides = [f"{source_of(self._text, side.node)} is {_KIND_NAMES[side.kind]}" for side in (left, right)]
        return InputError(
            f"{source_of(self._text, node)!r} in the condition cannot be compared: {' and '.join(sides)}. "
            f"{self._named_as_text(left, right) or _advice(left, right)}"
        )

    def _named_as_text(self, *sides: TypedExpression) -> str:
        """Returns the advice for a column's name in single quotes; empty if no side is one."""
        texts = [s.node.value for s in sides if isinstance(s.node, LiteralNode) and isinstance(s.node.value, str)]
        named = [t for t in texts if t in self._schema or t.rpartition(".")[2] in SERIES_STATS]
        return f'Put a column\'s name in double quotes, as in "{named[0]}".' if named else ""

    def _as_time(self, value: TypedExpression) -> TypedExpression:
        """Returns a text as a time; without a time zone it is UTC."""
        text = self._constant(value.node, "compared with a time")
        try:
            moment = datetime.fromisoformat(text.strip())
            moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        except (ValueError, OverflowError) as error:
            raise InputError(
                f"{text[:_SHOWN]!r} in the condition is not a time: write '2026-01-31' or '2026-01-31 12:00' (UTC)."
            ) from error
        return TypedExpression(pl.lit(moment, dtype=pl.Datetime("us", "UTC")), "time", value.node)

    def _membership(self, node: OperationNode) -> TypedExpression:
        first, *choices = node.parts
        for choice in choices:
            self._check_quotes(first, choice)
        value = self.build(first)
        pairs = [self._pair(node, value, self.build(choice)) for choice in choices]
        return TypedExpression(pl.any_horizontal([left == right for left, right in pairs]), "bool", node)

    def _between(self, node: OperationNode) -> TypedExpression:
        value, low, high = (self.build(part) for part in node.parts)
        above, below = self._pair(node, value, low), self._pair(node, value, high)
        return TypedExpression((above[0] >= above[1]) & (below[0] <= below[1]), "bool", node)

    def _like(self, node: OperationNode) -> TypedExpression:
        value = self._string(self.build(node.parts[0]))
        if isinstance(node.parts[1], LiteralNode) and node.parts[1].value is None:
            return TypedExpression(pl.lit(None, dtype=pl.Boolean), "bool", node)
        pattern = self._constant(node.parts[1], "a LIKE pattern")
        escape = self._constant(node.parts[2], "the character after ESCAPE") if len(node.parts) == 3 else ""
        if len(node.parts) == 3 and len(escape) != 1:
            raise InputError(f"ESCAPE {escape[:_SHOWN]!r} in the condition is not one character.")
        check_length(pattern, "LIKE pattern")
        search = like_search(pattern, escape, ignore_case=node.operator == "ilike")
        return TypedExpression(self._searches.column(value, search), "bool", node)

    def _regex(self, node: OperationNode) -> TypedExpression:
        value = self._string(self.build(node.parts[0]))
        pattern = self._constant(node.parts[1], "a regular expression")
        check_regex(pattern, "Pattern", self._searches.time)
        found = self._searches.column(value, regex_search(_REGEX_FLAGS.get(node.operator, "") + pattern))
        return TypedExpression(found.not_() if node.operator.startswith("!") else found, "bool", node)

    # ----------------------------------------------------------- functions

    def _concatenated(self, node: OperationNode) -> TypedExpression:
        parts = [self.build(part) for part in node.parts]
        for part in parts:
            if part.kind not in ("text", "number", "bool", "null"):
                raise self._kind_error(part, "text")
        return TypedExpression(pl.concat_str([part.expr.cast(pl.String) for part in parts]), "text", node)

    def _cast(self, node: OperationNode, to: str) -> TypedExpression:
        value = self.build(node.parts[0])
        if to == "date":
            moment = value if value.kind in ("time", "null") else self._as_time(value)
            return TypedExpression(moment.expr.cast(pl.Datetime("us", "UTC")).dt.truncate("1d"), "time", node)
        if value.kind in ("list", "other"):
            raise self._kind_error(value, "a number, text or a truth value")
        if to == "text":
            return TypedExpression(value.expr.cast(pl.String), "text", node)
        if value.kind == "time":
            raise self._kind_error(value, "a number or text")
        dtype = pl.Int64 if to == "int" else pl.Float64
        number = value.expr.str.strip_chars() if value.kind == "text" else value.expr
        return TypedExpression(number.cast(dtype, strict=False), "number", node)

    def _call(self, node: OperationNode, name: str) -> TypedExpression:
        rule = FUNCTIONS.get(name)
        if rule is not None:
            takes = {"number": self._number, "text": self._string, "list": self._list}
            self._check_count(node, name, len(rule.takes))
            arguments = [takes[kind](self.build(part)) for kind, part in zip(rule.takes, node.parts, strict=True)]
            return TypedExpression(rule.make(arguments), rule.gives, node)
        match name:
            case "round":
                return self._rounded(node)
            case "regexp_like":
                self._check_count(node, name, 2)
                return self._regex(node)
            case "array_contains":
                self._check_count(node, name, 2)
                items, item = (self.build(part) for part in node.parts)
                return TypedExpression(self._list(items).list.contains(self._string(item)), "bool", node)
            case "coalesce" | "ifnull" | "greatest" | "least" | "nullif":
                return self._choice(node, name)
            case _:
                raise no_function(name)

    def _check_count(self, node: OperationNode, name: str, count: int) -> None:
        if len(node.parts) != count:
            raise InputError(
                f"{source_of(self._text, node)!r} in the condition: {name}() takes {count} argument{'s' * (count > 1)}, "
                f"not {len(node.parts)}."
            )

    def _list(self, value: TypedExpression) -> pl.Expr:
        if value.kind not in ("list", "null"):
            raise self._kind_error(value, "a list, such as tags,")
        return value.expr.cast(pl.List(pl.String))

    def _rounded(self, node: OperationNode) -> TypedExpression:
        number, *rest = node.parts
        digits = rest[0] if rest else LiteralNode(0, node.at, node.end)
        if len(rest) > 1 or not isinstance(digits, LiteralNode) or not isinstance(digits.value, int):
            raise InputError(f"{source_of(self._text, node)!r} in the condition: write round(number, digits).")
        if not 0 <= digits.value <= _MOST_DIGITS:
            raise InputError(f"round() in the condition takes 0 to {_MOST_DIGITS} digits, not {digits.value}.")
        return TypedExpression(self._number(self.build(number)).round(digits.value), "number", node)

    def _choice(self, node: OperationNode, name: str) -> TypedExpression:
        """Builds a function that returns one of its arguments, all of one kind."""
        if name in ("ifnull", "nullif"):
            self._check_count(node, name, 2)
        values = [self.build(part) for part in node.parts]
        kinds = dict.fromkeys(v.kind for v in values if v.kind != "null")
        if len(kinds) > 1 or {"list", "other"} & set(kinds):
            raise InputError(
                f"{source_of(self._text, node)!r} in the condition takes arguments of one kind, "
                f"not {' and '.join(_KIND_NAMES[kind] for kind in kinds)}."
            )
        kind = next(iter(kinds), "null")
        exprs = [v.expr.cast(pl.Float64) if kind == "number" else v.expr for v in values]
        if name == "nullif":
            return TypedExpression(pl.when(exprs[0] == exprs[1]).then(None).otherwise(exprs[0]), kind, node)
        if name in ("coalesce", "ifnull"):
            return TypedExpression(self._first_known(node, exprs), kind, node)
        best = pl.max_horizontal(exprs) if name == "greatest" else pl.min_horizontal(exprs)
        return TypedExpression(best, kind, node)

    def _first_known(self, node: OperationNode, exprs: Sequence[pl.Expr]) -> pl.Expr:
        """Returns the first value that is not NULL. Polars' own coalesce treats a literal as a column of one row."""
        if len(exprs) > _MOST_COALESCED:
            raise InputError(
                f"coalesce() in a condition takes at most {_MOST_COALESCED} arguments, not {len(node.parts)}."
            )
        *former, found = exprs
        for expr in reversed(former):
            found = pl.when(expr.is_not_null()).then(expr).otherwise(found)
        return found


def _remedy(column: str, name: str, kind: str, word: str) -> str:
    """Returns how to write a word that was meant as a value of a column; empty if it may be a column. ``column``: as written."""
    if word.lower() in ("none", "nil", "na", "undefined"):
        return f"a missing value is {column} IS NULL"
    if word.lower() == "nan" and kind == "number":
        return f"write is_nan({column})"
    if kind == "number":
        return f"write numbers without quotes, as in {column} = {word}" if _is_number(word) else ""
    known = _WORDS.get(name, (word,))
    meant = word if word in known else next(iter(nearest(word, known, meaning=name, n=1)), known[0])
    quoted = meant.replace("'", "''")
    return f"put text in single quotes, as in {column} = '{quoted}'" if kind == "text" else ""


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _literal(node: LiteralNode) -> TypedExpression:
    value = node.value
    if value is None:
        return TypedExpression(pl.lit(None), "null", node)
    kind = "bool" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"
    return TypedExpression(pl.lit(value), kind, node)


def _advice(left: TypedExpression, right: TypedExpression) -> str:
    """Returns what to write instead of a comparison of two kinds."""
    kinds = {left.kind, right.kind}
    if kinds == {"number", "text"}:
        return "Write numbers without quotes and text in single quotes; CAST(... AS DOUBLE) turns text into a number."
    if "list" in kinds:
        return "Use array_contains(tags, 'a') to search a list."
    if kinds == {"bool", "number"}:
        return "Join comparisons with AND: 1 < lr AND lr < 3."
    if "time" in kinds:
        return "Compare a time with a text such as '2026-01-31 12:00'."
    return "Compare values of one kind."
