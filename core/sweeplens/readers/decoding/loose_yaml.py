"""Reads YAML of other programs as plain data. Only this module imports the parser, which few formats need."""

from __future__ import annotations

import re
from typing import Any, cast

import yaml

from sweeplens.readers.decoding.json_lines import MAX_NESTING
from sweeplens.source_limits import YAML_BYTES, YAML_VALUES, check_time

__all__ = ["load"]

_TIMED = 1000  # values between checks of the time
_MOST_EXPANDED = 10_000  # values that aliases may add, besides ten times the written values


def load(text: str) -> object:
    """Returns dicts, lists, text, numbers and times.

    Raises ValueError for text that is not YAML, nests too deeply, or expands to far more than is written.
    """
    if len(text) > YAML_BYTES:
        raise ValueError(f"more than {YAML_BYTES >> 20} MB of YAML: not read. As JSON it may be larger")
    _check_depth(text)
    try:
        return _read(cast("Any", _LooseLoader(text)))
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _read(loader: Any) -> object:
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _check_size(node)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _check_depth(text: str) -> None:
    """Refuses deeply nested brackets: the parser's time grows with the square of their number."""
    if text.count("[") + text.count("{") <= MAX_NESTING:
        return
    depth = 0
    for bracket in re.finditer(r"[\[\]{}]", text):
        depth += 1 if bracket[0] in "[{" else -1
        if depth > MAX_NESTING:
            raise ValueError(f"nested deeper than {MAX_NESTING} levels")


def _check_size(root: yaml.Node) -> None:
    """Refuses aliases that expand to very many values, and aliases that contain themselves."""
    sizes: dict[int, int] = {}
    expanded = _expanded_size(root, sizes)
    if expanded > _MOST_EXPANDED + 10 * len(sizes):
        raise ValueError(f"its aliases expand to {expanded} values")


def _expanded_size(node: yaml.Node, sizes: dict[int, int]) -> int:
    """Returns the count of values in a node when every alias is replaced by a copy."""
    known = sizes.get(id(node))
    if known == 0:
        raise ValueError("an alias contains itself")
    if known is not None:
        return known
    sizes[id(node)] = 0
    inner: list[Any] = [] if isinstance(node, yaml.ScalarNode) else cast("Any", node).value
    parts = [part for item in inner for part in (cast("tuple[Any, ...]", item) if isinstance(item, tuple) else (item,))]
    sizes[id(node)] = 1 + sum(_expanded_size(part, sizes) for part in parts)
    return sizes[id(node)]


class _LooseLoader(yaml.SafeLoader):
    """A safe YAML loader. It reads unknown tags (``!!python/object:...``) as plain data, and 1e-4 as a number.

    It limits the count of values, since parsing takes far longer than the bytes suggest.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._values = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Composes a node. Raises ValueError where there are too many values."""
        self._values += 1
        if self._values > YAML_VALUES:
            raise ValueError(f"more than {YAML_VALUES:,} values of YAML: not read. As JSON they may be more")
        if self._values % _TIMED == 0:
            check_time()
        return cast("Any", super()).compose_node(parent, index)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> object:
        """Returns the value of a node. Raises ValueError for a value that does not fit its tag: ``!!bool maybe``."""
        try:
            return cast("Any", super()).construct_object(node, deep)
        except (ArithmeticError, LookupError, AttributeError, TypeError) as error:
            kind = str(node.tag).rpartition(":")[2]
            shown = f" {node.value[:40]!r}" if isinstance(node, yaml.ScalarNode) else ""
            raise ValueError(f"line {node.start_mark.line + 1}: the value{shown} is not a valid {kind}") from error


def _plain(loader: yaml.Loader, suffix: str, node: yaml.Node) -> object:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        items = loader.construct_sequence(node, deep=True)
        return _pairs(items) if suffix.endswith("collections.OrderedDict") else items
    return loader.construct_scalar(cast("yaml.ScalarNode", node))


def _pairs(items: list[Any]) -> object:
    """Returns the argument of an ordered dict, a list of pairs inside a list, as a dict."""
    inner = items[0] if len(items) == 1 else items
    if isinstance(inner, list) and all(
        isinstance(p, list) and len(cast("list[Any]", p)) == 2 for p in cast("list[Any]", inner)
    ):
        return {str(key): value for key, value in cast("list[list[Any]]", inner)}
    return items


def _register() -> None:
    loader = cast("Any", _LooseLoader)
    loader.add_multi_constructor("tag:yaml.org,2002:python/", _plain)
    loader.add_multi_constructor("!", _plain)
    loader.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
    )


_register()
