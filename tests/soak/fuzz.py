"""Messages that no client should send: whatever comes, the server lives and every answer is a valid message."""

from __future__ import annotations

import json
import os
import queue
import random
import subprocess
import sys
import threading
from collections.abc import Generator
from copy import deepcopy
from pathlib import Path
from typing import Any

from tests.soak.support import Finding

_MESSAGES = 100_000
_META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "fuzz", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
_METHODS = ("tools/list", "tools/call", "resources/list", "resources/read", "prompts/get", "completion/complete", "ping",
            "server/discover", "initialize", "notifications/cancelled", "subscriptions/listen", "no/such")  # fmt: skip
_TOOLS = ("overview", "list_runs", "get_run", "list_metrics", "query_metrics", "find_varying_hparams", "none")
_ODD: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    2**63,
    1e308,
    "",
    "\x00\x1b[31m",
    "\ud7ff" * 50,
    [],
    {},
    [[]],
    {"a": {"b": []}},
    "experiments://runs/%00",
)


def _value(dice: random.Random) -> Any:
    return deepcopy(dice.choice(_ODD))  # what is put into one message is no part of the next


def _message(dice: random.Random, number: int) -> bytes:
    """A request that is nearly right, broken in one or two places; now and then no JSON at all."""
    params: dict[str, Any] = {"_meta": dict(_META)}
    method = dice.choice(_METHODS)
    params |= {
        "name": dice.choice(_TOOLS),
        "arguments": {dice.choice(("runs", "where", "run_id", "x", "metrics")): _value(dice)},
    }
    if method == "resources/read":
        params["uri"] = dice.choice(("experiments://runs", "experiments://runs/x", "file:///etc/passwd", _value(dice)))
    whole: dict[str, Any] = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
    for _ in range(dice.randrange(3)):
        home = dice.choice([h for h in (whole, params, params.get("_meta")) if isinstance(h, dict)])
        home[dice.choice(list(home) or ["x"])] = _value(dice)
    raw = json.dumps(whole).encode()
    if dice.random() < 0.05:
        at = dice.randrange(len(raw))
        raw = raw[:at] + bytes([dice.randrange(256)]) + raw[at + 1 :]
    return raw.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n"


class _Pipe:
    """A server on a pipe, its answers collected by a thread."""

    def __init__(self, root: Path) -> None:
        environment = {**os.environ, "ANALYSIS_CACHE": "memory"}
        command = [sys.executable, "-m", "sweeplens_mcp", "serve", "--log-level", "error", "--root", str(root)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
        )
        self.lines: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line)

    def send(self, raw: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(raw)
        self.process.stdin.flush()

    def until(self, number: str, seconds: float = 60) -> list[bytes]:
        """Every line up to the answer with this id."""
        found: list[bytes] = []
        while True:
            found.append(self.lines.get(timeout=seconds))
            if f'"{number}"'.encode() in found[-1]:
                return found


def _valid(line: bytes) -> bool:
    """Whether a line is a message of JSON-RPC: a notification, a request, a result, or an error with code and words."""
    message = json.loads(line)
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        return False
    if "method" in message:
        return isinstance(message["method"], str)
    if "error" in message:
        error = message["error"]
        return "result" not in message and isinstance(error["code"], int) and isinstance(error["message"], str)
    return "result" in message and isinstance(message.get("id"), int | str)


def no_message_breaks_the_server(root: Path, share: float) -> Generator[Finding]:
    """100,000 broken messages, a right one now and then: no crash, no silence, every answer a valid message."""
    dice = random.Random(20261123)
    count, batch = int(_MESSAGES * share), 200
    pipe = _Pipe(root)
    answers = invalid = 0
    try:
        for start in range(0, count, batch):
            for number in range(start, start + batch):
                pipe.send(_message(dice, number))
            mark = f"mark{start}"
            request = {"jsonrpc": "2.0", "id": mark, "method": "tools/list", "params": {"_meta": _META}}
            pipe.send(json.dumps(request).encode() + b"\n")
            lines = pipe.until(mark)
            answers += len(lines)
            invalid += sum(not _valid(line) for line in lines)
    except (queue.Empty, BrokenPipeError) as error:
        yield Finding(False, f"the server went silent: {type(error).__name__}, exit code {pipe.process.poll()}")
        return
    finally:
        pipe.process.kill()
    yield Finding(
        invalid == 0, f"{count} broken messages, {answers} answers, {invalid} of them invalid, the server lives"
    )
