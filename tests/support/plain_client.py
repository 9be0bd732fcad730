"""A client of the protocol in plain Python, without the SDK: lines of JSON over a child's pipes, as the oldest era has it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["list_tools"]

_HELLO = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "plain", "version": "1"},
}


def list_tools(command: Sequence[str], *, cwd: Path, env: Mapping[str, str], seconds: float = 60) -> list[str]:
    """Start a server, shake hands, list its tools, close its input; every byte that it writes must be protocol."""
    messages = (
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": _HELLO},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/list"},
    )
    asked = "".join(json.dumps(m) + "\n" for m in messages)
    child = subprocess.Popen(
        command, cwd=cwd, env=dict(env), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with child:
        assert child.stdin
        assert child.stdout
        child.stdin.write(asked.encode())
        child.stdin.flush()
        answers: dict[Any, Any] = {}
        while 2 not in answers and (line := child.stdout.readline()):
            answer = json.loads(line)
            answers[answer.get("id")] = answer
        rest, errors = child.communicate(timeout=seconds)
    assert not rest.strip() or all(json.loads(line) for line in rest.splitlines())
    assert 2 in answers, errors.decode(errors="replace")
    return [tool["name"] for tool in answers[2]["result"]["tools"]]
