"""Codex' app server: lines of JSON over a child's pipes."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from tests.clients.place import BrokenError

__all__ = ["Codex"]


class Codex:
    """One app server; it is ended when its `with` ends, or when it stays silent."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], seconds: float = 90) -> None:
        self._process = subprocess.Popen(
            command, env=dict(environment), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, encoding="utf-8",
        )  # fmt: skip
        self._timer = threading.Timer(seconds, self._process.kill)
        self._asked = 0

    def __enter__(self) -> Self:
        self._timer.start()
        self.ask("initialize", {"clientInfo": {"name": "tests", "title": "tests", "version": "1"}})
        self._send({"method": "initialized"})
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._timer.cancel()
        self._process.kill()
        self._process.communicate()

    def ask(self, method: str, params: Mapping[str, object]) -> Any:
        """The result of a request; what it is told meanwhile is passed over."""
        self._asked += 1
        self._send({"id": self._asked, "method": method, "params": dict(params)})
        assert self._process.stdout
        for line in self._process.stdout:
            said = json.loads(line)
            if said.get("id") == self._asked and "method" not in said:
                if "error" in said:
                    raise BrokenError(f"{method} was answered {said['error']}")
                return said["result"]
        raise BrokenError(f"the app server ended, or stayed silent, at {method}")

    def _send(self, message: Mapping[str, object]) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()
