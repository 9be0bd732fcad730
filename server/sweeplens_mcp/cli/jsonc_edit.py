"""Edits JSON with comments in place: only the text of differing values is replaced, everything else stays byte for byte.

    parsed(text)            the value as plain Python data
    has_no_value(text)      whether the text has only comments
    edited(text, wanted)    the text with the fewest changes that make its value ``wanted``

Comments (`//`, `/* */`) and trailing commas are accepted and kept, as are order, indentation and line ends. A new member goes
after the last one, with the indentation of its neighbours. Raises JsoncError, which names the line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, cast

from msgspec import Struct

__all__ = ["JsoncError", "edited", "has_no_value", "parsed"]

_SKIPPED = re.compile(r"(?:[ \t\r\n]+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_REST_OF_LINE = re.compile(r"[ \t]*(?:/\*[^\n]*?\*/[ \t]*)*(?://[^\n]*)?(?=\r?\n|$)")
_MOST_NESTED = 100
_SCALARS = json.JSONDecoder()


class JsoncError(ValueError):
    """The text is not JSON with comments; the message says where and why."""


class JsonNode(Struct, frozen=True):
    """A value and its place in the text. ``names``: the keys of an object's children, in order; a key may repeat."""

    kind: Literal["object", "array", "scalar"]
    start: int
    end: int
    value: Any
    names: tuple[str, ...] = ()
    children: tuple[JsonNode, ...] = ()
    comma_end: int = 0  # the end of a trailing comma; 0: there is none

    def child(self, name: str) -> JsonNode | None:
        """Returns the child of this name; the last one counts, as for every JSON reader."""
        matches = [c for n, c in zip(self.names, self.children, strict=True) if n == name]
        return matches[-1] if matches else None


class TextEdit(Struct, frozen=True, order=True):
    """Replaces ``text[start:end]``."""

    start: int
    end: int
    new: str


class Layout(Struct, frozen=True):
    """The layout of a file: one step of indentation (empty: everything on one line) and the end of a line."""

    step: str
    newline: str


def parsed(text: str) -> Any:
    """Returns the value of the text."""
    return _tree(text).value


def has_no_value(text: str) -> bool:
    """Returns whether the text has only blanks and comments."""
    return _skip(text, 0) == len(text)


def edited(text: str, wanted: object) -> str:
    """Returns the text with the value ``wanted``."""
    layout = _layout(text)
    for edit in sorted(_edits(text, _tree(text), wanted, layout), reverse=True):
        text = text[: edit.start] + edit.new + text[edit.end :]
    return text


# ------------------------------------------------------------------ reading


def _tree(text: str) -> JsonNode:
    start = _skip(text, 1 if text.startswith("\ufeff") else 0)
    root = _node(text, start, 0)
    rest = _skip(text, root.end)
    if rest < len(text):
        raise _unexpected(text, rest, "the end of the file")
    return root


def _node(text: str, at: int, depth: int) -> JsonNode:
    if depth > _MOST_NESTED:
        raise JsoncError(f"line {_line(text, at)}: more than {_MOST_NESTED} levels of nesting")
    if text.startswith("{", at) or text.startswith("[", at):
        return _container(text, at, depth)
    return _scalar(text, at)


def _scalar(text: str, at: int) -> JsonNode:
    try:
        value, end = _SCALARS.raw_decode(text, at)
    except ValueError:
        raise _unexpected(text, at, "a value") from None
    return JsonNode("scalar", at, end, value)


def _container(text: str, start: int, depth: int) -> JsonNode:
    """Parses the object or array that opens at ``start``."""
    is_object = text[start] == "{"
    close = "}" if is_object else "]"
    names: list[str] = []
    children: list[JsonNode] = []
    at, comma_end = _skip(text, start + 1), 0
    while not text.startswith(close, at):
        if children and not comma_end:
            raise _unexpected(text, at, f"a comma or {close!r}")
        if is_object:
            name, at = _name(text, at)
            names.append(name)
        children.append(_node(text, at, depth + 1))
        at = _skip(text, children[-1].end)
        comma_end = at + 1 if text.startswith(",", at) else 0
        at = _skip(text, comma_end or at)
    values = [c.value for c in children]
    value: object = dict(zip(names, values, strict=True)) if is_object else values
    return JsonNode("object" if is_object else "array", start, at + 1, value, tuple(names), tuple(children), comma_end)


def _name(text: str, at: int) -> tuple[str, int]:
    """Parses the key that starts here; also returns where its value starts."""
    if not text.startswith('"', at):
        raise _unexpected(text, at, "a key in double quotes")
    key = _scalar(text, at)
    colon = _skip(text, key.end)
    if not text.startswith(":", colon):
        raise _unexpected(text, colon, "a colon")
    return str(key.value), _skip(text, colon + 1)


def _skip(text: str, at: int) -> int:
    """Returns the first place from ``at`` on that is neither blank nor in a comment."""
    match = _SKIPPED.match(text, at)
    return match.end() if match else at


def _unexpected(text: str, at: int, wanted: str) -> JsoncError:
    seen = repr(text[at : at + 12]) if at < len(text) else "the end of the file"
    return JsoncError(f"line {_line(text, at)}: {seen} where {wanted} should be")


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


# ------------------------------------------------------------------ editing


def _edits(text: str, node: JsonNode, wanted: object, layout: Layout) -> Iterator[TextEdit]:
    """Yields the edits that turn a node into ``wanted``."""
    if _same(node.value, wanted):
        return
    if node.kind == "object" and isinstance(wanted, dict) and set(node.names) <= set(cast("dict[str, object]", wanted)):
        yield from _object_edits(text, node, cast("dict[str, object]", wanted), layout)
    elif node.kind == "array" and isinstance(wanted, list) and len(node.children) <= len(cast("list[object]", wanted)):
        yield from _array_edits(text, node, cast("list[object]", wanted), layout)
    else:
        new = _rendered(cast("object", wanted), _indent_at(text, node.start), _layout_of(text, node, layout))
        yield TextEdit(node.start, node.end, new)


def _object_edits(text: str, node: JsonNode, wanted: Mapping[str, object], layout: Layout) -> Iterator[TextEdit]:
    for name in dict.fromkeys(node.names):
        child = node.child(name)
        if child is not None:
            yield from _edits(text, child, wanted[name], layout)
    new = [(f"{_dumped(name)}: ", value) for name, value in wanted.items() if name not in node.names]
    if new:
        yield from _insertion(text, node, new, layout)


def _array_edits(text: str, node: JsonNode, wanted: Sequence[object], layout: Layout) -> Iterator[TextEdit]:
    for child, value in zip(node.children, wanted, strict=False):
        yield from _edits(text, child, value, layout)
    new = [("", value) for value in wanted[len(node.children) :]]
    if new:
        yield from _insertion(text, node, new, layout)


def _insertion(text: str, node: JsonNode, new: Sequence[tuple[str, object]], layout: Layout) -> Iterator[TextEdit]:
    """Returns the edits that add members or items at the end of a container."""
    layout = _layout_of(text, node, layout)
    if not node.children:
        yield _into_empty(text, node, new, layout)
        return
    last = node.children[-1]
    after = node.comma_end or last.end
    before, behind = ("", ",") if node.comma_end else (",", "")
    if not layout.step:
        members = ", ".join(head + _rendered(value, "", layout) for head, value in new)
        yield TextEdit(after, after, f"{before} {members}{behind}")
        return
    indent = _indent_at(text, last.start)
    members = ",".join(f"{layout.newline}{indent}{head}{_rendered(value, indent, layout)}" for head, value in new)
    match = _REST_OF_LINE.match(text, after)
    position = match.end() if match else after
    if position > after and before:  # the comma goes before a comment, the members after it
        yield TextEdit(after, after, before)
        before = ""
    yield TextEdit(position, position, before + members + behind)


def _into_empty(text: str, node: JsonNode, new: Sequence[tuple[str, object]], layout: Layout) -> TextEdit:
    """Returns the edit that adds members to an empty container; its comments stay before them."""
    close = node.end - 1
    if not layout.step:
        return TextEdit(close, close, ", ".join(head + _rendered(value, "", layout) for head, value in new))
    outer = _indent_at(text, node.start)
    inner = outer + layout.step
    lines = [f"{layout.newline}{inner}{head}{_rendered(value, inner, layout)}" for head, value in new]
    inside = text[node.start + 1 : close]
    content_end = node.start + 1 + len(inside.rstrip())
    return TextEdit(content_end, close, ",".join(lines) + layout.newline + outer)


def _layout(text: str) -> Layout:
    """Returns the indentation of the first indented line; two blanks if there is none."""
    body = text.strip("\ufeff \t\r\n")
    newline = "\r\n" if "\r\n" in text else "\n"
    if "\n" not in body and body not in ("{}", "[]"):
        return Layout("", newline)
    match = re.search(r"\n([ \t]+)[\"\[{]", text)
    return Layout(match[1] if match else "  ", newline)


def _layout_of(text: str, node: JsonNode, layout: Layout) -> Layout:
    """Returns the layout of a container; one with content on one line stays on one line."""
    on_one_line = bool(node.children) and "\n" not in text[node.start : node.children[-1].end]
    return Layout("", layout.newline) if on_one_line else layout


def _indent_at(text: str, at: int) -> str:
    line = text[text.rfind("\n", 0, at) + 1 : at].lstrip("\ufeff")
    return line[: len(line) - len(line.lstrip(" \t"))]


def _rendered(value: object, indent: str, layout: Layout) -> str:
    """Returns the text of a value in this layout; its first line is not indented."""
    if not layout.step:
        return _dumped(value)
    lines = json.dumps(value, indent=layout.step, ensure_ascii=False).split("\n")
    return (layout.newline + indent).join(lines)


def _dumped(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _same(one: object, other: object) -> bool:
    """Returns whether values are equal as JSON: 1, 1.0 and true are three values."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
