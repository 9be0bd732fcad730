"""Clients from npm, each in a folder of its own below `build/npm`: package -> what it did with our server."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.clients.codex import Codex
from tests.clients.place import CONFIGS, SCRIPTS, BrokenError, Place, check_found, check_tools
from tests.support.npm import binary, installed

__all__ = ["codex", "gemini", "hub", "inspector", "opencode", "typescript1", "typescript2"]

_HUB_FILES = (
    CONFIGS / "vscode" / ".vscode" / "mcp.json",
    CONFIGS / "cursor" / ".cursor" / "mcp.json",
    CONFIGS / "mcphub" / ".mcphub" / "servers.json",
)


def inspector(place: Place, package: str) -> str:
    """Portable schemas, by the strictest judge: it exits 6 on a schema that some client cannot read."""
    command = binary(installed("inspector", (package,)), "mcp-inspector")
    for era in ("legacy", "modern"):
        asked = ("--method", "tools/list", "--strict", "--protocol-era", era)
        for target in (place.command, [place.url, "--transport", "http"]):
            listed = json.loads(place.run([command, "--cli", *target, *asked]))
            check_tools([tool["name"] for tool in listed["tools"]])
    return "tools/list --strict, both eras, stdio and HTTP"


def typescript1(place: Place, package: str) -> str:
    """The SDK that most editors are built on."""
    script = _beside(installed("typescript1", (package,)), "typescript1.mjs")
    for target in ("-", place.url):
        check_found(place.run(["node", script, target, *place.command]))
    return "tools, a call, an error, resources, prompts; stdio and HTTP"


def typescript2(place: Place, package: str) -> str:
    """The same SDK in its second version, in both eras."""
    script = _beside(installed("typescript2", (package,)), "typescript2.mjs")
    for era in ("legacy", "modern"):
        for target in ("-", place.url):
            check_found(place.run(["node", script, era, target, *place.command]))
    return "tools, a call, an error, resources, prompts, subscriptions; both eras, stdio and HTTP"


def gemini(place: Place, package: str) -> str:
    """Gemini CLI with our file of its own."""
    command = binary(installed("gemini-cli", (package,)), "gemini")
    place.configure("gemini-cli", ".gemini/settings.json", place.project / ".gemini" / "settings.json")
    return _connected(place.run([command, "mcp", "list"], errors=True), "Connected")


def opencode(place: Place, package: str) -> str:
    """opencode with our file of its own."""
    command = binary(installed("opencode", (package,)), "opencode")
    place.configure("opencode", "opencode.json", place.project / "opencode.json")
    return _connected(place.run([command, "mcp", "list"], errors=True), "connected")


def codex(place: Place, package: str) -> str:
    """Codex' app server with our file of its own: the status of the server, then a call in a thread."""
    command = binary(installed("codex", (package,)), "codex")
    settings = place.home / ".codex"
    place.configure("codex", "config.toml", settings / "config.toml")
    with Codex([str(command), "app-server"], {**place.environment, "CODEX_HOME": str(settings)}) as app:
        (status,) = app.ask("mcpServerStatus/list", {})["data"]
        check_tools(list(status["tools"]))
        thread = app.ask("thread/start", {"cwd": str(place.project)})["thread"]["id"]
        called = {"threadId": thread, "server": "sweeplens", "tool": "overview", "arguments": {}}
        answer = app.ask("mcpServer/tool/call", called)
    if answer.get("isError") or not answer["content"][0]["text"]:
        raise BrokenError(f"the call was answered {json.dumps(answer)[:300]}")
    return "app-server: status with all tools, a tool call"


def hub(place: Place, package: str) -> str:
    """mcp-hub on the files of `editor-configs/` as they stand, in a project that they presume."""
    command = binary(installed("mcp-hub", (package,)), "mcp-hub")
    for file in _HUB_FILES:
        with _hub(place, command, file) as ask:
            (server,) = ask("servers")["servers"]
            if server["status"] != "connected":
                raise BrokenError(f"{file.name}: {server['status']}, {server['error']}")
            check_tools([tool["name"] for tool in server["capabilities"]["tools"]])
            called = {"server_name": "sweeplens", "tool": "overview", "arguments": {}}
            if ask("servers/tools", called)["result"].get("isError"):
                raise BrokenError(f"{file.name}: the call was refused")
    return f"{', '.join(file.parts[-3] for file in _HUB_FILES)} files as they stand: connected, a tool call"


@contextmanager
def _hub(place: Place, command: Path, file: Path) -> Generator[Any]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    given = [str(command), "--port", str(port), "--config", str(file)]
    process = subprocess.Popen(
        given, cwd=place.project, env=place.environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip

    def ask(path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/api/{path}", data, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    try:
        _until_ready(ask)
        yield ask
    finally:
        process.terminate()
        process.wait(20)


def _until_ready(ask: Any, seconds: float = 60) -> None:
    """Wait until the hub has tried to start its servers."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if ask("health")["state"] == "ready":
                return
        except urllib.error.URLError:
            pass  # it does not listen yet
        time.sleep(0.2)
    raise BrokenError(f"mcp-hub was not ready within {seconds:.0f} s")


def _beside(modules: Path, script: str) -> Path:
    """A copy of a script where Node finds the packages that it imports."""
    return Path(shutil.copy(SCRIPTS / script, modules.parent / script))


def _connected(said: str, word: str) -> str:
    line = next((line for line in said.splitlines() if "sweeplens" in line), "")
    if word not in line or "dis" + word in line.lower():
        raise BrokenError(f"it says: {said.strip()[-300:]}")
    return "mcp list with our file: connected"
