"""YAML that other programs wrote, as plain data. The one place that loads the parser, which only a few formats need."""

from __future__ import annotations

import re
from typing import Any, cast

import yaml

__all__ = ["load"]


def load(text: str) -> object:
    """Dicts, lists, text, numbers, times. Raises ValueError for what is not YAML."""
    try:
        return yaml.load(text, Loader=_LooseLoader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


class _LooseLoader(yaml.SafeLoader):
    """Safe YAML that reads unknown tags (``!!python/object:...``) as the plain data under them, and 1e-4 as a number."""


def _plain(loader: yaml.Loader, suffix: str, node: yaml.Node) -> object:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        items = loader.construct_sequence(node, deep=True)
        return _pairs(items) if suffix.endswith("collections.OrderedDict") else items
    return loader.construct_scalar(cast("yaml.ScalarNode", node))


def _pairs(items: list[Any]) -> object:
    """The argument of an ordered dict, a list of pairs inside a list, as a dict."""
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
