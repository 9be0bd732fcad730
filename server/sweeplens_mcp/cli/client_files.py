"""Configuration files of clients: our entry as text, and our entry merged into a file with other entries.

    rendered(client, launch)          the whole file, with our entry only
    planned(client, launch, path)     the change that `config --write` would make; nothing is written yet
    pasted(client, launch, path)      what to paste where, for files that are not written

A file that is a program, or that cannot be edited safely, is not changed; the error says what to paste and where.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml
from msgspec import Struct

from sweeplens.errors import ConfigError
from sweeplens_mcp.cli.clients import SERVER_NAME, Client, LaunchCommand
from sweeplens_mcp.cli.entry_merge import CONTINUE_HEAD, UnmergeableError
from sweeplens_mcp.cli.file_replacement import CurrentFile, current, replace_text
from sweeplens_mcp.cli.jsonc_edit import has_no_value
from sweeplens_mcp.cli.text_merge import merged_text, served_in

__all__ = ["FileChange", "document", "pasted", "planned", "rendered", "write"]


class FileChange(Struct, frozen=True):
    """A file, and its new text. ``served``: the folders of an entry of ours that is in the file."""

    file: CurrentFile
    after: str
    served: tuple[str, ...] = ()

    @property
    def is_none(self) -> bool:
        """Returns whether our entry is there already."""
        return self.after == self.file.text

    def diff(self) -> str:
        """Returns the change as a unified diff."""
        name = str(self.file.path)
        before, after = ((text or "").splitlines(keepends=True) for text in (self.file.text, self.after))
        lines = difflib.unified_diff(before, after, name, name)
        return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def document(client: Client, launch: LaunchCommand) -> dict[str, Any]:
    """Returns the whole file as data, with our entry only."""
    inner: object = client.entry(launch)
    for key in reversed(client.keys):
        inner = {key: inner}
    content = cast("dict[str, Any]", inner)
    return {**CONTINUE_HEAD, **content} if client.name == "continue" else content


def rendered(client: Client, launch: LaunchCommand) -> str:
    """Returns the whole file as text, with our entry only."""
    if client.form == "lua":
        return f'require("codecompanion").setup({{\n  mcp = {{ servers = {{ {_lua_server(launch)} }} }},\n}})\n'
    if client.form == "elisp":
        return _elisp(launch)
    content = document(client, launch)
    if client.form == "toml":
        return _toml(client, cast("dict[str, object]", client.entry(launch)))
    if client.form == "yaml":
        return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def planned(client: Client, launch: LaunchCommand, path: Path) -> FileChange:
    """Returns the change that adds our entry. Raises ConfigError, with the text to paste, if the edit could lose something."""
    if client.form in ("lua", "elisp"):
        raise ConfigError(
            f"The settings of {client.title} are a program, which is not edited.\n{pasted(client, launch, path)}"
        )
    try:
        file = current(path)
        text = file.text or ""
        served = () if _is_blank(client, text.removeprefix("\ufeff")) else tuple(served_in(text, client))
        return FileChange(file, _with_entry(client, launch, text), served)
    except UnmergeableError as error:
        raise _left_alone(client, launch, path, f"{path} {error}") from None
    except ConfigError as error:
        raise _left_alone(client, launch, path, str(error)) from None


def write(client: Client, launch: LaunchCommand, path: Path) -> str:
    """Adds our entry to the file and returns a sentence on the change. Raises ConfigError if the edit could lose something."""
    change = planned(client, launch, path)
    if change.is_none:
        return f"{path} already contains {SERVER_NAME}: nothing was changed"
    try:
        backup = replace_text(change.file, change.after)
    except ConfigError as error:
        raise _left_alone(client, launch, path, str(error)) from None
    link = f" (a link to {change.file.path})" if path.is_symlink() else ""
    if backup is None:
        return f"Wrote {path}{link}"
    verb = "Replaced" if change.served else "Wrote"
    return f"{verb} the entry {SERVER_NAME} in {path}{link}; everything else is unchanged, and the previous file is {backup}"


def pasted(client: Client, launch: LaunchCommand, path: Path) -> str:
    """Returns what to paste into an existing file, and where."""
    at, entry = f'"{client.keys[0]}"' if client.keys else "", client.entry(launch)
    if client.form == "elisp":
        return f"Paste this at the end of {path}, after any (setq mcp-hub-servers ...):\n{_elisp(launch)}"
    if client.form == "lua":
        return (
            f"In {path}, in the table passed to codecompanion's setup (or in `opts` of its plugin specification), "
            f"paste this line into `servers` of `mcp`:\n    {_lua_server(launch)},\n"
            f"If there is no `mcp` in that table, paste this line into it:\n"
            f"    mcp = {{ servers = {{ {_lua_server(launch)} }} }},\n"
        )
    if client.form == "toml":
        old = f"[{'.'.join(client.keys)}]"
        return f"Paste this at the end of {path}, in place of an older {old}:\n{rendered(client, launch)}"
    if client.form == "yaml":
        fragment = cast("list[object]", entry) if isinstance(entry, list) else {SERVER_NAME: entry}
        text = yaml.safe_dump(fragment, sort_keys=False, allow_unicode=True)
        return f"Paste this below `{client.keys[0]}:` in {path}, indented as its neighbours there:\n{text}"
    if isinstance(entry, list):
        item = json.dumps(cast("list[Any]", entry)[0], indent=2, ensure_ascii=False)
        return f"Paste this item into the list {at} of {path}, with commas between the items:\n{item}\n"
    member = json.dumps({SERVER_NAME: entry}, indent=2, ensure_ascii=False)[2:-2]
    return f"Paste this into the object {at} of {path}, separated from other members by commas:\n{member}\n"


def _with_entry(client: Client, launch: LaunchCommand, text: str) -> str:
    """Returns the text with our entry; a file with comments only keeps them, and a byte-order mark stays first."""
    mark, body = ("\ufeff", text[1:]) if text.startswith("\ufeff") else ("", text)
    if not _is_blank(client, body):
        return mark + merged_text(body, client, launch)
    comments = body.rstrip()
    return mark + (f"{comments}\n" if comments else "") + rendered(client, launch)


def _is_blank(client: Client, text: str) -> bool:
    if client.form == "json":
        return has_no_value(text)
    return all(not line.strip() or line.lstrip().startswith("#") for line in text.splitlines())


def _left_alone(client: Client, launch: LaunchCommand, path: Path, why: str) -> ConfigError:
    return ConfigError(f"{why}: nothing was changed. {pasted(client, launch, path)}")


def _toml(client: Client, entry: Mapping[str, object]) -> str:
    """Returns one table; strings, numbers, booleans and lists of strings are the same in TOML as in JSON."""
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in entry.items()]
    return "\n".join((f"[{'.'.join(client.keys)}]", *lines, ""))


def _lua_server(launch: LaunchCommand) -> str:
    command = ", ".join(json.dumps(p, ensure_ascii=False) for p in (launch.command, *launch.args))
    return f"{SERVER_NAME} = {{ cmd = {{ {command} }} }}"


def _elisp(launch: LaunchCommand) -> str:
    command, *args = (json.dumps(p, ensure_ascii=False) for p in (launch.command, *launch.args))
    entry = f'("{SERVER_NAME}" . (:command {command} :args ({" ".join(args)})))'
    return f"(with-eval-after-load 'mcp-hub\n  (add-to-list 'mcp-hub-servers\n               '{entry}))\n"
