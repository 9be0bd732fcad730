"""Parses the text of a condition into a tree with its own grammar: no SQL engine parses a client's text.

    parse_condition(text)    the tree; raises InputError with the position and the expected token

A condition compares columns of the runs table: comparisons, AND, OR, NOT, IN, BETWEEN, LIKE, IS NULL, arithmetic, text joined
by ``||``, CAST and a fixed list of functions (`frames.conditions`). It has at most 4,000 characters, 500 nodes and a depth of 50.
These limits are checked during parsing, so that neither this parser nor Polars can run out of stack.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager

from msgspec import Struct

from sweeplens.errors import InputError
from sweeplens.frames.condition_functions import function_names, no_function
from sweeplens.frames.condition_tokens import Token, syntax_error, tokens_of

__all__ = [
    "MOST_CHARACTERS",
    "MOST_NODES",
    "ColumnNode",
    "ConditionNode",
    "LiteralNode",
    "OperationNode",
    "parse_condition",
]

MOST_CHARACTERS = 4_000
MOST_NODES = 500
_MOST_DEPTH = 50
_MOST_JOINS = 16  # of "||" in one condition, so that no text grows beyond a small multiple of the logged text
_MOST_WEIGHT = 5_000
_USES_OPERANDS_TWICE = frozenset(
    {"%", "mod()", "nullif()", "coalesce()", "ifnull()", "between"}
)  # expressions that use their operands twice
_INT64 = 1 << 63
_COMPARISONS = {
    "=": "=", "==": "=", "<>": "<>", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">=", "<=>": "is not distinct from",
    "~": "~", "~*": "~*", "!~": "!~", "!~*": "!~*", "regexp": "~", "rlike": "~",
}  # fmt: skip
_ARITHMETIC = {"||": 5, "+": 6, "-": 6, "*": 7, "/": 7, "//": 7, "%": 7}
_OR, _AND, _NOT, _COMPARE, _JOIN, _SIGNED, _CAST = 1, 2, 3, 4, 5, 8, 9  # precedence of operators
_AFTER_NOT = frozenset({"in", "between", "like", "ilike", "regexp", "rlike"})
_RESERVED = frozenset({
    "and", "or", "not", "in", "is", "between", "like", "ilike", "regexp", "rlike", "escape", "case", "when", "then", "else",
    "end", "distinct", "where", "group", "order", "by", "limit", "having", "join", "union",
})  # fmt: skip
_CLAUSES = {
    "where": "leave out WHERE: a condition begins with a column",
    "limit": "a condition has no LIMIT: pass the argument limit",
    "order": "a condition has no ORDER BY: pass the argument sort",
    "group": "a condition has no GROUP BY: summarize_by_hparams and rank_runs take hparams",
    "having": "a condition has no HAVING: join comparisons by AND",
}
_CONSTANTS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
_TYPES = {
    "integer": "int", "int": "int", "bigint": "int", "int64": "int", "smallint": "int",
    "float": "float", "double": "float", "real": "float", "float64": "float", "numeric": "float", "decimal": "float",
    "text": "text", "varchar": "text", "string": "text", "char": "text", "date": "date",
}  # fmt: skip


class LiteralNode(Struct, frozen=True):
    """A number, a text, TRUE, FALSE or NULL. In every node, ``at`` and ``end`` are its position in the condition."""

    value: str | int | float | bool | None
    at: int
    end: int
    depth: int = 1
    weight: int = 1


class ColumnNode(Struct, frozen=True):
    """A column's name. ``quote`` is the quote around it, empty if there is none."""

    name: str
    quote: str
    at: int
    end: int
    depth: int = 1
    weight: int = 1


class OperationNode(Struct, frozen=True):
    """An operator or function in lower case, applied to its operands: ``and``, ``<=``, ``in``, ``abs()``, ``cast int``.

    ``weight`` is the number of nodes of its Polars expression, which uses some operands more than once.
    """

    operator: str
    parts: tuple[ConditionNode, ...]
    at: int
    end: int
    depth: int
    weight: int


ConditionNode = LiteralNode | ColumnNode | OperationNode


def parse_condition(text: str) -> ConditionNode:
    """Returns the tree of a condition. Raises InputError with the position and the expected token."""
    if len(text) > MOST_CHARACTERS:
        raise InputError(f"The condition has {len(text)} characters, at most {MOST_CHARACTERS} are allowed.")
    return _Parser(text).parse()


class _Parser:
    """An operator-precedence parser that counts nodes and depth."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens_of(text)
        self._next = 0
        self._nodes = self._joins = self._depth = 0

    def parse(self) -> ConditionNode:
        """Parses the whole text into one tree."""
        tree = self._expression(0)
        if self._current.kind != "end":
            raise self._unexpected("AND, OR or the end")
        return tree

    # ------------------------------------------------------------- tokens

    @property
    def _current(self) -> Token:
        return self._tokens[self._next]

    def _consume(self) -> Token:
        token = self._current
        self._next += token.kind != "end"
        return token

    def _accept(self, *words: str) -> bool:
        """Consumes these words if they come next. Returns whether they did."""
        following = self._tokens[self._next : self._next + len(words)]
        if [t.word for t in following] != list(words):
            return False
        self._next += len(words)
        return True

    def _expect(self, word: str) -> Token:
        if self._current.word != word:
            raise self._unexpected(repr(word.upper() if word.isalpha() else word))
        return self._consume()

    def _unexpected(self, wanted: str) -> InputError:
        token = self._current
        if token.word in ("select", "from"):
            return InputError("A condition compares columns of the runs table; it cannot select from other tables.")
        also = ""
        if token.word == "(" and self._next > 1 and self._tokens[self._next - 2].word == ".":
            also = '; put the whole name of an event in double quotes, as in "val/loss.first_below(4.0)"'
        elif token.word in _CLAUSES:
            also = f"; {_CLAUSES[token.word]}"
        elif token.word in _RESERVED:
            also = "; put a column of that name in double quotes"
        elif token.kind == "word" and self._next and self._tokens[self._next - 1].kind in ("word", "quoted"):
            also = "; put a name with spaces in double quotes and text in single quotes"
        return syntax_error(self._text, token.at, f"expected {wanted}, found {token.shown}{also}")

    # -------------------------------------------------------------- nodes

    def _count_node(self, at: int) -> None:
        self._nodes += 1
        if self._nodes > MOST_NODES:
            raise syntax_error(
                self._text, at, f"more than {MOST_NODES} names, values and operators; to name many runs, use runs=[...]"
            )

    def _operation(self, operator: str, parts: Sequence[ConditionNode], at: int) -> OperationNode:
        self._count_node(at)
        depth = 1 + max(part.depth for part in parts)
        if depth > _MOST_DEPTH:
            raise self._too_deep(at)
        weight = _weight(operator, parts)
        if weight > _MOST_WEIGHT:
            raise syntax_error(self._text, at, f"{operator.upper()} over such long expressions grows too large")
        return OperationNode(operator, tuple(parts), at, self._tokens[self._next - 1].end, depth, weight)

    def _too_deep(self, at: int) -> InputError:
        return syntax_error(self._text, at, f"nested more than {_MOST_DEPTH} levels deep")

    @contextmanager
    def _nested(self) -> Generator[None]:
        self._depth += 1
        if self._depth > _MOST_DEPTH:
            raise self._too_deep(self._current.at)
        yield
        self._depth -= 1

    # ------------------------------------------------------------ grammar

    def _expression(self, binding: int) -> ConditionNode:
        """Parses an expression whose operators have a higher precedence than ``binding``."""
        with self._nested():
            left = self._prefix()
            while (longer := self._infix(left, binding)) is not None:
                left = longer
            return left

    def _prefix(self) -> ConditionNode:
        token = self._current
        if token.word == "not":
            self._consume()
            return self._operation("not", [self._expression(_NOT)], token.at)
        if token.word in ("-", "+"):
            self._consume()
            return self._operation("neg" if token.word == "-" else "pos", [self._expression(_SIGNED)], token.at)
        if token.word == "(":
            self._consume()
            inner = self._expression(0)
            self._expect(")")
            return inner
        return self._operand()

    def _operand(self) -> ConditionNode:
        token = self._current
        if token.kind == "end" or (token.kind == "sign") or token.word in _RESERVED:
            before = f" after {self._tokens[self._next - 1].shown}" if self._next else ""
            raise self._unexpected(f"a column or a value{before}")
        if token.word in ("select", "from") and self._tokens[self._next + 1].word != ".":  # from.lr is a column
            raise self._unexpected("a column or a value")
        self._consume()
        if token.kind in ("text", "number") or token.word in _CONSTANTS:
            return self._literal(token)
        if token.kind == "word" and self._current.word == "(":
            return self._call(token)
        return self._column(token)

    def _literal(self, token: Token) -> LiteralNode:
        self._count_node(token.at)
        if token.kind == "text":
            return LiteralNode(token.text[1:-1].replace("''", "'"), token.at, token.end)
        if token.kind == "word":
            return LiteralNode(_CONSTANTS[token.word], token.at, token.end)
        if self._current.kind in ("word", "number") and self._current.at == token.end:
            raise syntax_error(
                self._text, token.at, f"{token.text + self._current.text!r} is neither a number nor a name"
            )
        return LiteralNode(_number(token.text), token.at, token.end)

    def _column(self, token: Token) -> ColumnNode:
        self._count_node(token.at)
        quote = token.text[0] if token.kind == "quoted" else ""
        name = token.text[1:-1].replace('""', '"') if quote == '"' else token.text.strip("`")
        end = token.end
        while self._current.word == "." and self._tokens[self._next + 1].kind in ("word", "quoted"):
            self._consume()
            part = self._consume()
            name, end = name + "." + part.text.strip('`"'), part.end
        return ColumnNode(name, quote, token.at, end)

    def _call(self, name: Token) -> ConditionNode:
        self._consume()
        if name.word in ("cast", "try_cast"):
            operand = self._expression(0)
            self._expect("as")
            operator = self._type()
            self._expect(")")
            return self._operation(operator, [operand], name.at)
        arguments = self._list() if self._current.word != ")" else ()
        if name.word not in function_names():
            raise no_function(name.word)
        if not arguments:
            raise self._unexpected(f"an argument of {name.word}()")
        return self._operation(f"{name.word}()", arguments, name.at)

    def _list(self) -> tuple[ConditionNode, ...]:
        """Parses expressions separated by commas, up to the closing bracket."""
        found = [self._expression(0)]
        while self._accept(","):
            found.append(self._expression(0))
        if self._current.word != ")":
            raise self._unexpected("',' or ')'")
        self._consume()
        return tuple(found)

    def _type(self) -> str:
        token = self._current
        if token.word not in _TYPES:
            raise self._unexpected("a type (INTEGER, DOUBLE, TEXT or DATE)")
        self._consume()
        return f"cast {_TYPES[token.word]}"

    def _infix(self, left: ConditionNode, binding: int) -> ConditionNode | None:
        """Parses an operator after an operand; None if none of sufficient precedence follows."""
        word = self._current.word
        if word in ("and", "or"):
            return self._junction(word, left) if binding < (_AND if word == "and" else _OR) else None
        if word in _ARITHMETIC:
            return self._arithmetic(word, left) if binding < _ARITHMETIC[word] else None
        if word == "::":
            self._consume()
            return self._operation(self._type(), [left], left.at)
        return self._comparison(left) if binding < _COMPARE else None

    def _junction(self, word: str, left: ConditionNode) -> ConditionNode:
        """Parses a chain of one operator as one flat node."""
        parts = [left]
        while self._accept(word):
            parts.append(self._expression(_AND if word == "and" else _OR))
        return self._operation(word, parts, left.at)

    def _arithmetic(self, word: str, left: ConditionNode) -> ConditionNode:
        token = self._consume()
        self._joins += word == "||"
        if self._joins > _MOST_JOINS:
            raise syntax_error(self._text, token.at, f"|| is allowed at most {_MOST_JOINS} times in a condition")
        return self._operation(word, [left, self._expression(_ARITHMETIC[word])], left.at)

    def _comparison(self, left: ConditionNode) -> ConditionNode | None:
        word = self._current.word
        if word in _COMPARISONS:
            self._consume()
            return self._operation(_COMPARISONS[word], [left, self._expression(_COMPARE)], left.at)
        if self._accept("is"):
            return self._is(left)
        negated = word == "not" and self._tokens[self._next + 1].word in _AFTER_NOT
        if negated:
            self._consume()
        if self._current.word not in _AFTER_NOT:
            return None
        found = self._membership(self._consume().word, left)
        return self._operation("not", [found], left.at) if negated else found

    def _is(self, left: ConditionNode) -> ConditionNode:
        negated = self._accept("not")
        if self._accept("distinct", "from"):
            operator = "is not distinct from" if negated else "is distinct from"
            return self._operation(operator, [left, self._expression(_COMPARE)], left.at)
        word = self._current.word
        if word not in ("null", "true", "false", "unknown"):
            raise self._unexpected("NULL, TRUE, FALSE or DISTINCT FROM")
        self._consume()
        found = self._operation(f"is {'null' if word == 'unknown' else word}", [left], left.at)
        return self._operation("not", [found], left.at) if negated else found

    def _membership(self, word: str, left: ConditionNode) -> ConditionNode:
        if word == "in":
            self._expect("(")
            return self._operation("in", [left, *self._list()], left.at)
        if word == "between":
            low = self._expression(_COMPARE)
            self._expect("and")
            return self._operation("between", [left, low, self._expression(_COMPARE)], left.at)
        pattern = self._expression(_COMPARE)
        if word in ("like", "ilike") and self._accept("escape"):
            return self._operation(word, [left, pattern, self._expression(_COMPARE)], left.at)
        return self._operation(_COMPARISONS.get(word, word), [left, pattern], left.at)


def _weight(operator: str, parts: Sequence[ConditionNode]) -> int:
    """Returns the number of nodes of an operation's expression."""
    weights = [part.weight for part in parts]
    if operator == "in":  # an equality for each choice
        return 1 + (len(parts) - 1) * weights[0] + sum(weights[1:])
    return 1 + sum(weights) * (2 if operator in _USES_OPERANDS_TWICE else 1)


def _number(text: str) -> int | float:
    """Returns an integer if it fits in 64 bits, else the nearest float."""
    text = text.replace("_", "")
    if text.isdecimal() and len(text) < 20:
        whole = int(text)
        return whole if whole < _INT64 else float(whole)
    return float(text)
