"""Configuration files of clients: an entry as text, and an entry merged into a file that may hold others.

A file is changed only where nothing of it can be lost: plain JSON is read, changed and written anew; TOML is appended to;
a file with comments, or of a notation that is a program, is left alone, and the error says what to paste and where.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml

from sweeplens.errors import ConfigError
from sweeplens_mcp.cli.clients import SERVER_NAME, Client, LaunchCommand

__all__ = ["document", "rendered", "write"]

_CONTINUE_HEAD = {"name": SERVER_NAME, "version": "0.1.0", "schema": "v1"}


def document(client: Client, launch: LaunchCommand) -> dict[str, Any]:
    """The whole file as data, with our entry only."""
    inner: object = client.entry(launch)
    for key in reversed(client.keys):
        inner = {key: inner}
    found = cast("dict[str, Any]", inner)
    return {**_CONTINUE_HEAD, **found} if client.name == "continue" else found


def rendered(client: Client, launch: LaunchCommand) -> str:
    """The whole file as text, with our entry only."""
    if client.form == "lua":
        return _lua(launch)
    if client.form == "elisp":
        return _elisp(launch)
    found = document(client, launch)
    if client.form == "toml":
        return _toml(client, cast("dict[str, object]", client.entry(launch)))
    if client.form == "yaml":
        return yaml.safe_dump(found, sort_keys=False, allow_unicode=True)
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def write(client: Client, launch: LaunchCommand, path: Path) -> str:
    """Put our entry into the file; what was done, as a sentence. Raises ConfigError where that could lose something."""
    if client.form in ("lua", "elisp"):
        raise ConfigError(
            f"The settings of {client.title} are a program: paste this into them yourself.\n{rendered(client, launch)}"
        )
    if not path.exists() or not path.read_text(encoding="utf-8-sig").strip():
        _replace(path, rendered(client, launch))
        return f"Wrote {path}"
    text = path.read_text(encoding="utf-8-sig")
    if client.form == "json":
        _replace(path, _merged_json(client, launch, text, path))
    elif client.form == "toml":
        _replace(path, _appended_toml(client, launch, text, path))
    elif yaml.safe_load(text) != document(client, launch):
        raise _left_alone(client, launch, path, "has other settings, and rewriting YAML would lose their comments")
    return f"{SERVER_NAME} stands in {path}; what else was there stayed"


def _merged_json(client: Client, launch: LaunchCommand, text: str, path: Path) -> str:
    try:
        held = json.loads(text)
    except ValueError:
        raise _left_alone(client, launch, path, "is not plain JSON (comments?)") from None
    *above, last = client.keys
    place: object = held
    for key in above:
        place = cast("dict[str, Any]", place).setdefault(key, {}) if isinstance(place, dict) else None
    if not isinstance(place, dict):
        raise _left_alone(client, launch, path, f"holds no object at {'.'.join(above) or 'its top'}")
    slot = cast("dict[str, Any]", place)
    entry = client.entry(launch)
    slot[last] = _with_others(slot.get(last), cast("list[Any]", entry)) if isinstance(entry, list) else entry
    return json.dumps(held, indent=2, ensure_ascii=False) + "\n"


def _with_others(held: object, ours: list[Any]) -> list[Any]:
    """A list of servers with ours in the place of an older entry of the same name."""
    others = cast("list[Any]", held) if isinstance(held, list) else []
    return [*(o for o in others if not _is_ours(o)), *ours]


def _is_ours(server: object) -> bool:
    return isinstance(server, dict) and cast("dict[str, Any]", server).get("name") == SERVER_NAME


def _appended_toml(client: Client, launch: LaunchCommand, text: str, path: Path) -> str:
    try:
        held: Any = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _left_alone(client, launch, path, f"cannot be read: {error}") from None
    for key in client.keys:
        held = cast("dict[str, Any]", held).get(key) if isinstance(held, dict) else None
    if held == client.entry(launch):
        return text
    if held is not None:
        raise _left_alone(client, launch, path, f"has another [{'.'.join(client.keys)}] already")
    return f"{text.rstrip()}\n\n{rendered(client, launch)}"


def _left_alone(client: Client, launch: LaunchCommand, path: Path, why: str) -> ConfigError:
    return ConfigError(f"{path} {why}: nothing was changed, paste this into it.\n{rendered(client, launch)}")


def _replace(path: Path, text: str) -> None:
    """Whole or not at all: a client may read the file at any time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{path.name}.{os.getpid()}.new")
    aside.write_text(text, encoding="utf-8", newline="\n")
    aside.replace(path)


def _toml(client: Client, entry: Mapping[str, object]) -> str:
    """One table; TOML's strings, numbers, booleans and lists of strings are written as JSON writes them."""
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in entry.items()]
    return "\n".join((f"[{'.'.join(client.keys)}]", *lines, ""))


def _lua(launch: LaunchCommand) -> str:
    command = ", ".join(json.dumps(p, ensure_ascii=False) for p in (launch.command, *launch.args))
    server = f"{SERVER_NAME} = {{ cmd = {{ {command} }} }}"
    return f'require("codecompanion").setup({{\n  mcp = {{ servers = {{ {server} }} }},\n}})\n'


def _elisp(launch: LaunchCommand) -> str:
    command, *args = (json.dumps(p, ensure_ascii=False) for p in (launch.command, *launch.args))
    entry = f'("{SERVER_NAME}" . (:command {command} :args ({" ".join(args)})))'
    return f"(with-eval-after-load 'mcp-hub\n  (add-to-list 'mcp-hub-servers\n               '{entry}))\n"
