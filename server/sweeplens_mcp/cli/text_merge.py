"""Merges our entry into the text of a client's configuration: JSON with comments, TOML or YAML.

    merged_text(text, client, launch)    the new text. Raises UnmergeableError, whose message completes "FILE ..."
    served_in(text, client)              the folders that our entry in the text serves

Everything else stays byte for byte: comments, order, indentation, quotes, line ends. Before it is written, the result is parsed
again, by another parser where there is one, and compared with the wanted data.
"""

from __future__ import annotations

import copy
import io
import tomllib
from collections.abc import Callable, Iterator
from difflib import SequenceMatcher
from typing import Any

import yaml

from sweeplens_mcp.cli.clients import Client, LaunchCommand
from sweeplens_mcp.cli.entry_merge import UnmergeableError, merge_entry, served_before
from sweeplens_mcp.cli.jsonc_edit import JsoncError, edited, parsed

__all__ = ["merged_text", "served_in"]

_WIDE = 1 << 20  # no line is folded
_YAML_INDENTS = (
    (2, 2, 0),
    (2, 4, 2),
    (4, 4, 2),
    (4, 2, 0),
    (4, 4, 0),
    (4, 6, 4),
)  # mapping, sequence, offset of its dash


def merged_text(text: str, client: Client, launch: LaunchCommand) -> str:
    """Returns the text with our entry; the same text if the entry is there already."""
    read, edit = _READERS[client.form], {"json": _json, "toml": _toml, "yaml": _yaml}[client.form]
    has_crlf = "\r\n" in text and "\n" not in text.replace("\r\n", "")
    plain = text.replace("\r\n", "\n") if has_crlf else text
    before = _read(read, plain)
    wanted: Any = copy.deepcopy(before)
    merge_entry(wanted, client, launch)
    if wanted == before:
        return text
    after = edit(plain, wanted, client, launch)
    if _read(read, after) != wanted:
        raise UnmergeableError("is written in a form that cannot be edited safely")
    return after.replace("\n", "\r\n") if has_crlf else after


def served_in(text: str, client: Client) -> list[str]:
    """Returns the folders that our entry in a file serves; none without an entry. Raises UnmergeableError."""
    return served_before(_read(_READERS[client.form], text.removeprefix("\ufeff").replace("\r\n", "\n")), client)


def _read(read: Callable[[str], Any], text: str) -> Any:
    try:
        return read(text)
    except (JsoncError, tomllib.TOMLDecodeError, yaml.YAMLError) as error:
        raise UnmergeableError(f"cannot be read: {' '.join(str(error).split())}") from None


def _yaml_data(text: str) -> Any:
    return yaml.safe_load(text)


_READERS: dict[str, Callable[[str], Any]] = {"json": parsed, "toml": tomllib.loads, "yaml": _yaml_data}


def _json(text: str, wanted: object, client: Client, launch: LaunchCommand) -> str:
    return edited(text, wanted)


def _toml(text: str, wanted: object, client: Client, launch: LaunchCommand) -> str:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        document = tomlkit.parse(text)
        merge_entry(document, client, launch)
        return tomlkit.dumps(document)  # pyright: ignore[reportUnknownMemberType]
    except TOMLKitError as error:
        raise UnmergeableError(f"cannot be edited: {error}") from None


def _yaml(text: str, wanted: object, client: Client, launch: LaunchCommand) -> str:
    """Applies the edit of ruamel.yaml line by line, so that lines keep their layout."""
    from ruamel.yaml.error import YAMLError

    try:
        return next(edited for edited in _yaml_edits(text, client, launch) if _reads_as(edited, wanted))
    except (StopIteration, YAMLError):
        raise UnmergeableError("is written in a form that cannot be edited safely") from None


def _yaml_edits(text: str, client: Client, launch: LaunchCommand) -> Iterator[str]:
    """Yields the edited text for each usual indentation; those that reproduce the file come first."""
    edits = [_yaml_edit(text, client, launch, indents) for indents in _YAML_INDENTS]
    exact = [after for before, after in edits if before == text]
    yield from exact
    for before, after in edits:
        if len(before.splitlines()) == len(text.splitlines()):
            yield _patched(text, before, after)


def _yaml_edit(text: str, client: Client, launch: LaunchCommand, indents: tuple[int, int, int]) -> tuple[str, str]:
    """Returns the text as ruamel.yaml writes it, without and with our entry."""
    from ruamel.yaml import YAML

    engine = YAML()
    engine.preserve_quotes = True  # pyright: ignore[reportAttributeAccessIssue]
    engine.width = _WIDE  # pyright: ignore[reportAttributeAccessIssue]
    mapping, sequence, offset = indents
    engine.indent(mapping=mapping, sequence=sequence, offset=offset)  # pyright: ignore[reportUnknownMemberType]
    document: Any = engine.load(text)  # pyright: ignore[reportUnknownMemberType]
    before = _dumped(engine, document)
    merge_entry(document, client, launch)
    return before, _dumped(engine, document)


def _dumped(engine: Any, document: object) -> str:
    out = io.StringIO()
    engine.dump(document, out)
    return out.getvalue()


def _patched(text: str, before: str, after: str) -> str:
    """Returns ``text`` with the lines in which ``after`` differs from ``before``; ``before`` has as many lines as ``text``."""
    text_lines, old, new = (t.splitlines(keepends=True) for t in (text, before, after))
    out: list[str] = []
    for kind, i1, i2, j1, j2 in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        lines = text_lines[i1:i2] if kind == "equal" else new[j1:j2]
        if out and lines and not out[-1].endswith("\n"):
            out[-1] += "\n"
        out += lines
    return "".join(out)


def _reads_as(text: str, wanted: object) -> bool:
    try:
        return _yaml_data(text) == wanted
    except yaml.YAMLError:
        return False
