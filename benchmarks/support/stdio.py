"""A server process that one can call, without the SDK's client."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

__all__ = ["Server", "called"]

_HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bench", "version": "0"}}


class Server:
    """A handshake that is done, and a tool that can be called."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._last = 0
        self._ask("initialize", _HELLO)
        self._send({"method": "notifications/initialized"})

    def call(self, tool: str, **arguments: object) -> dict[str, Any]:
        """The result of a tool. Raises where it is an error."""
        result = self._ask("tools/call", {"name": tool, "arguments": arguments})
        assert not result.get("isError"), result
        return result

    def _ask(self, method: str, params: object) -> dict[str, Any]:
        self._last += 1
        self._send({"id": self._last, "method": method, "params": params})
        assert self._process.stdout is not None
        while (answer := json.loads(self._process.stdout.readline())).get("id") != self._last:
            pass
        return answer["result"]

    def _send(self, message: dict[str, object]) -> None:
        print(json.dumps({"jsonrpc": "2.0", **message}), file=self._process.stdin, flush=True)


@contextmanager
def called(command: Sequence[str], env: Mapping[str, str] | None = None) -> Generator[Server]:
    """A server that is started, and ended afterwards."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, encoding="utf-8", env={**os.environ, **(env or {})}, **pipes) as process:
        try:
            yield Server(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
