"""The links and lines of editor-configs/README.md: each names the command that starts the server, in the client's form."""

from __future__ import annotations

import base64
import json
import re
import shlex
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from sweeplens_mcp.cli.commands import parser

PAGE = (Path(__file__).parents[2] / "editor-configs" / "README.md").read_text(encoding="utf-8")
START = ["uvx", "sweeplens", "serve", "--root"]


def started(command: list[str]) -> str:
    """The folder that a command serves; the command line accepts it."""
    assert command[:4] == START
    (root,) = parser().parse_args(command[2:]).root
    return root


def test_the_link_for_vs_code_holds_the_entry_as_json() -> None:
    (link,) = re.findall(r"\((vscode:mcp/install\?[^)\s]+)\)", PAGE)
    entry = json.loads(unquote(link.partition("?")[2]))
    assert entry["name"] == "sweeplens"
    assert started([entry["command"], *entry["args"]]) == "${workspaceFolder}/experiments"


def test_the_link_for_cursor_holds_the_entry_in_base64() -> None:
    (link,) = re.findall(r"\((cursor://[^)\s]+)\)", PAGE)
    asked = parse_qs(urlsplit(link).query)
    entry = json.loads(base64.b64decode(asked["config"][0]))
    assert asked["name"] == ["sweeplens"]
    assert started([entry["command"], *entry["args"]]) == "${workspaceFolder}/experiments"


def test_each_line_adds_the_server_by_the_clients_own_command() -> None:
    (block,) = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    lines = [shlex.split(line) for line in block.splitlines()]
    assert [line[0] for line in lines] == ["claude", "code", "codex", "gemini"]
    claude, code, codex, gemini = lines
    assert started(claude[claude.index("--") + 1 :]) == "experiments"
    assert started(codex[codex.index("--") + 1 :]).endswith("/experiments")
    assert started(gemini[gemini.index("uvx") :]) == "experiments"
    entry = json.loads(code[2])
    assert code[1] == "--add-mcp"
    assert started([entry["command"], *entry["args"]]) == "${workspaceFolder}/experiments"
