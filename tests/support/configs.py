"""Configuration files read as their clients read them: notation, comments, variables -> the command that is started."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from sweeplens_mcp.cli.clients import SERVER_NAME, Client

__all__ = ["SAMPLE_PROJECT", "expand", "loaded_entry", "started_by"]

SAMPLE_PROJECT = "/home/you/project"  # what a reader of the files replaces by a folder of theirs
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')


def loaded_entry(client: Client, text: str) -> Any:
    """Our entry in a client's file; for programs the strings of the command."""
    if client.form in ("lua", "elisp"):
        comment = "--" if client.form == "lua" else ";;"
        code = "\n".join(line for line in text.splitlines() if not line.startswith(comment))
        place = "cmd" if client.form == "lua" else ":command"
        return [json.loads(f'"{part}"') for part in _QUOTED.findall(code[code.index(place) :])]
    entry = _document(client, text)
    for key in client.keys:
        entry = entry[key]
    return entry


def _document(client: Client, text: str) -> Any:
    if client.form == "toml":
        return tomllib.loads(text)
    if client.form == "yaml":
        return yaml.safe_load(text)
    comments = client.name in ("vscode", "zed")  # the others read strict JSON
    return json.loads("\n".join(line for line in text.splitlines() if not (comments and line.startswith("//"))))


def started_by(entry: Any) -> list[str]:
    """The command line of an entry, whatever the client calls its parts."""
    if isinstance(entry, list):
        if all(isinstance(part, str) for part in entry):
            return entry
        (entry,) = (server for server in entry if server["name"] == SERVER_NAME)
    command = entry.get("command", entry.get("cmd"))
    return list(command) if isinstance(command, list) else [command, *entry["args"]]


def expand(client: Client, command: list[str], project: Path, environment: Mapping[str, str] = os.environ) -> list[str]:
    """The command as the client starts it in a project; a variable that this client does not know stays as it is."""
    return [
        _expanded(client.name, part, project, environment).replace(SAMPLE_PROJECT, str(project)) for part in command
    ]


def _expanded(name: str, text: str, project: Path, environment: Mapping[str, str]) -> str:
    if name in ("vscode", "cursor", "mcphub"):
        return text.replace("${workspaceFolder}", str(project))
    if name == "claude-code":
        return re.sub(r"\$\{(\w+):-([^}]*)\}", lambda m: environment.get(m[1], m[2]), text)
    return text
