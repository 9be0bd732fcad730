"""The clients of `sweeplens config`: the path of each configuration file, the place of our entry in it, and its notation.

`CLIENTS` is the table; client_files.py writes the files, configure.py is the command.
`editor-configs/` holds the same as files to copy; a test compares the two and starts each.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from msgspec import Struct

from sweeplens.errors import UnknownNameError

__all__ = ["CLIENTS", "SERVER_NAME", "Client", "Form", "LaunchCommand", "client_named"]

SERVER_NAME = "sweeplens"
Form = Literal["json", "toml", "yaml", "lua", "elisp"]


class LaunchCommand(Struct, frozen=True):
    """The command that starts the server."""

    command: str
    args: tuple[str, ...]


Entry = Callable[[LaunchCommand], object]


class Client(Struct, frozen=True):
    """One client: the path and notation of its configuration.

    ``user_file``: the same for all projects of a person, for clients whose ``file`` belongs to one project.
    """

    name: str
    title: str
    file: str | Mapping[str, str]  # relative to the project, or from ~; by sys.platform where it differs
    keys: tuple[str, ...]  # keys that lead to the entry; the last one names the server
    entry: Entry
    form: Form = "json"
    note: str = ""
    user_file: str | Mapping[str, str] = ""

    @property
    def path(self) -> Path:
        """Returns the path on this machine."""
        return Path(os.path.expandvars(_of_platform(self.file))).expanduser()

    @property
    def user_path(self) -> str:
        """Returns the path for all projects as a person types it; empty where there is none."""
        return _of_platform(self.user_file)


def _of_platform(file: str | Mapping[str, str]) -> str:
    return file if isinstance(file, str) else file.get(sys.platform, file[""])


def _plain(**more: object) -> Entry:
    """Returns an entry with ``command``, ``args``, and the further fields of the client."""
    return lambda launch: {**more, "command": launch.command, "args": list(launch.args)}


def _goose(launch: LaunchCommand) -> object:
    about = {"type": "stdio", "name": SERVER_NAME, "enabled": True}
    return {**about, "cmd": launch.command, "args": list(launch.args), "timeout": 300}


def _in_one_list(**more: object) -> Entry:
    return lambda launch: {**more, "command": [launch.command, *launch.args]}


def _listed(**more: object) -> Entry:
    """Returns an entry for a list of servers, with its own name."""
    return lambda launch: [{"name": SERVER_NAME, **more, "command": launch.command, "args": list(launch.args)}]


def _mcp_servers(
    name: str, title: str, file: str | Mapping[str, str], note: str = "", *, user_file: str = "", **more: object
) -> Client:
    """Returns a client with the most common notation."""
    return Client(name, title, file, ("mcpServers", SERVER_NAME), _plain(**more), note=note, user_file=user_file)


_CLAUDE_DESKTOP = {
    "darwin": "~/Library/Application Support/Claude/claude_desktop_config.json",
    "win32": "%APPDATA%/Claude/claude_desktop_config.json",
    "": "~/.config/Claude/claude_desktop_config.json",
}
_CODE_STORAGE = "User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json"
_CLINE = {
    "darwin": f"~/Library/Application Support/Code/{_CODE_STORAGE}",
    "win32": f"%APPDATA%/Code/{_CODE_STORAGE}",
    "": f"~/.config/Code/{_CODE_STORAGE}",
}
_VSCODE = {
    "darwin": "~/Library/Application Support/Code/User/mcp.json",
    "win32": "%APPDATA%/Code/User/mcp.json",
    "": "~/.config/Code/User/mcp.json",
}
_GOOSE = {"win32": "%APPDATA%/Block/goose/config/config.yaml", "": "~/.config/goose/config.yaml"}
_ZED = {"win32": "%APPDATA%/Zed/settings.json", "": "~/.config/zed/settings.json"}

CLIENTS: tuple[Client, ...] = (
    Client("vscode", "VS Code", ".vscode/mcp.json", ("servers", SERVER_NAME), _plain(type="stdio"), user_file=_VSCODE),
    Client("visual-studio", "Visual Studio", ".mcp.json", ("servers", SERVER_NAME), _plain(type="stdio")),
    _mcp_servers("cursor", "Cursor", ".cursor/mcp.json", user_file="~/.cursor/mcp.json", type="stdio"),
    _mcp_servers("claude-desktop", "Claude Desktop", _CLAUDE_DESKTOP),
    _mcp_servers("claude-code", "Claude Code", ".mcp.json", user_file="~/.claude.json", type="stdio"),
    Client("zed", "Zed", _ZED, ("context_servers", SERVER_NAME), lambda launch: {**_as_dict(launch), "env": {}}),
    _mcp_servers("windsurf", "Windsurf", "~/.codeium/windsurf/mcp_config.json"),
    _mcp_servers(
        "jetbrains",
        "JetBrains",
        ".junie/mcp/mcp.json",
        "AI Assistant: Settings > Tools > AI Assistant > MCP",
        user_file="~/.junie/mcp/mcp.json",
    ),
    Client(
        "codex",
        "Codex",
        "~/.codex/config.toml",
        ("mcp_servers", SERVER_NAME),
        lambda launch: {**_as_dict(launch), "startup_timeout_sec": 60, "tool_timeout_sec": 120, "required": True},
        "toml",
    ),
    _mcp_servers(
        "gemini-cli", "Gemini CLI", ".gemini/settings.json", user_file="~/.gemini/settings.json", timeout=30000
    ),
    Client(
        "continue",
        "Continue",
        ".continue/mcpServers/sweeplens.yaml",
        ("mcpServers",),
        _listed(type="stdio"),
        "yaml",
        user_file="~/.continue/mcpServers/sweeplens.yaml",
    ),
    Client(
        "opencode",
        "opencode",
        "opencode.json",
        ("mcp", SERVER_NAME),
        _in_one_list(type="local", timeout=15000),
        user_file="~/.config/opencode/opencode.json",
    ),
    _mcp_servers("mcphub", "Neovim mcphub", ".mcphub/servers.json", user_file="~/.config/mcphub/servers.json"),
    Client(
        "codecompanion", "Neovim codecompanion", "init.lua", (), _plain(), "lua", "Put it into your Neovim settings."
    ),
    Client("emacs", "Emacs mcp.el", "init.el", (), _plain(), "elisp", "Put it into your Emacs settings."),
    _mcp_servers("cline", "Cline", _CLINE, timeout=120),
    _mcp_servers("roo", "Roo Code", ".roo/mcp.json", timeout=120),
    Client("goose", "Goose", _GOOSE, ("extensions", SERVER_NAME), _goose, "yaml"),
    _mcp_servers("lm-studio", "LM Studio", "~/.lmstudio/mcp.json"),
    Client("jupyter-ai", "Jupyter AI", ".jupyter/mcp_settings.json", ("mcp_servers",), _listed(env=[])),
    _mcp_servers("copilot-cli", "Copilot CLI", "~/.copilot/mcp-config.json", type="stdio", tools=["*"]),
    _mcp_servers("kiro", "Kiro", ".kiro/settings/mcp.json", user_file="~/.kiro/settings/mcp.json"),
)


def _as_dict(launch: LaunchCommand) -> dict[str, object]:
    return {"command": launch.command, "args": list(launch.args)}


def client_named(name: str) -> Client:
    """Returns the client of this name. Raises UnknownNameError with the nearest."""
    client = next((c for c in CLIENTS if c.name == name.lower()), None)
    if client is None:
        known = [c.name for c in CLIENTS]
        raise UnknownNameError.of("client", name, known, hint=f"Known: {', '.join(known)}.")
    return client
