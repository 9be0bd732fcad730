"""A server on a pipe ends when its client does: whatever is unread, half written, or under way."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support.processes import ENDLESS, HELLO, children, pipe, send, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")
SOON = 10  # seconds on a busy machine; three on another
SERVE = [sys.executable, "-m", "sweeplens_mcp", "serve", "--root"]


def _listing(number: int) -> Mapping[str, object]:
    return {"id": number, "method": "tools/list"}


def _answered(process: subprocess.Popen[bytes]) -> None:
    """The server has shaken hands."""
    send(process, *HELLO)
    assert process.stdout
    assert json.loads(process.stdout.readline())["id"] == 1


def _reply_to(process: subprocess.Popen[bytes], line: str) -> dict[str, Any]:
    """What the server writes after a line."""
    assert process.stdin
    assert process.stdout
    process.stdin.write(line.encode() + b"\n")
    process.stdin.flush()
    assert select.select([process.stdout], [], [], SOON)[0], f"no reply to {line[:80]}"
    return json.loads(process.stdout.readline())


def _fill(process: subprocess.Popen[bytes]) -> None:
    """Ask until no more can be written, and read no answer."""
    assert process.stdin
    os.set_blocking(process.stdin.fileno(), False)
    message = json.dumps({"jsonrpc": "2.0", **_listing(2)}).encode() + b"\n"
    idle = time.monotonic()
    while time.monotonic() - idle < 1:
        try:
            os.write(process.stdin.fileno(), message)
            idle = time.monotonic()
        except BlockingIOError:
            time.sleep(0.05)


def test_closed_input_ends_a_server_whose_answers_are_not_read(sweep: Path) -> None:
    with pipe(sweep) as process:
        _answered(process)
        _fill(process)
        assert process.stdin
        process.stdin.close()
        assert process.wait(SOON) == 0


def test_closed_input_ends_a_server_that_is_in_the_middle_of_writing_one_long_answer(sweep: Path) -> None:
    with pipe(sweep) as process:
        _answered(process)
        send(process, *(_listing(n) for n in range(2, 12)))
        time.sleep(1)  # the pipe holds less than these answers
        assert process.stdin
        process.stdin.close()
        assert process.wait(SOON) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("state", ["idle", "in a call", "unread"])
def test_a_signal_ends_a_server_whose_input_is_open(sweep: Path, number: signal.Signals, state: str) -> None:
    with pipe(sweep, more={"ANALYSIS_QUERY_SECONDS": "600"}) as process:
        _answered(process)
        if state == "in a call":
            call = {"name": "query_sql", "arguments": ENDLESS}
            send(process, {"id": 2, "method": "tools/call", "params": call})
            until(lambda: any("sandbox.py" in line for line in children(process.pid).values()))
        if state == "unread":
            _fill(process)
        left = children(process.pid)
        process.send_signal(number)
        assert process.wait(SOON) == 128 + number
        until(lambda: not any(Path(f"/proc/{child}/cmdline").exists() for child in left))


def test_ctrl_c_ends_a_server_on_a_terminal(sweep: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen([*SERVE, str(sweep)], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    try:
        until(lambda: "sweeplens-stdin" in _names(process.pid))
        process.send_signal(signal.SIGINT)
        assert process.wait(SOON) == 130
    finally:
        process.kill()
        os.close(ours)


def test_a_message_that_is_cut_in_its_middle_ends_the_server_without_a_traceback(sweep: Path) -> None:
    with pipe(sweep) as process:
        _answered(process)
        assert process.stdin
        assert process.stderr
        process.stdin.write(b'{"jsonrpc": "2.0", "id": 2, "method": "tools/ca')
        process.stdin.close()
        assert process.wait(SOON) == 0
        assert b"Traceback" not in process.stderr.read()


@pytest.mark.parametrize("half", [False, True])
def test_a_socket_as_input_is_watched_as_a_pipe_is(sweep: Path, half: bool) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen([*SERVE, str(sweep)], stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL)
    try:
        ours.sendall("".join(json.dumps({"jsonrpc": "2.0", **m}) + "\n" for m in HELLO).encode())
        assert b'"id":1' in ours.recv(100_000)
        if half:
            ours.shutdown(socket.SHUT_WR)
        else:
            ours.close()
        assert process.wait(SOON) == 0
    finally:
        process.kill()
        ours.close()


HALVES = {
    "\\ud800": "\\ufffd",
    "caf\\udce9": "caf\\ufffd",
    "\\uD83D\\uD83D\\uDE00": "\\ufffd\\ud83d\\ude00",
    "\\ude00\\ud83d": "\\ufffd\\ufffd",
    "\\\\\\udfff": "\\\\\\ufffd",
    "\\\\ud800": "\\\\ud800",
    "\\ud83d\\ude00": "\\ud83d\\ude00",
}
"""Text in JSON, and how it is read."""


def test_a_request_with_half_of_a_surrogate_pair_gets_a_reply(sweep: Path) -> None:
    with pipe(sweep) as process:
        _answered(process)
        for text, read in HALVES.items():
            message = {"jsonrpc": "2.0", "id": "TEXT", "method": "ping"}
            reply = _reply_to(process, json.dumps(message).replace("TEXT", text))
            assert reply["id"] == json.loads(f'"{read}"')


def _call_with(where: str) -> str:
    arguments = f'{{"name": "list_runs", "arguments": {{"where": {where}}}}}'
    return f'{{"method": "tools/call", "params": {arguments}, "jsonrpc": "2.0", "id": 7}}'


NO_MESSAGES = {
    _call_with("[" * 300 + "]" * 300): (7, -32700),
    _call_with("9" * 5000): (7, -32700),
    _call_with('"\x01"'): (7, -32700),
    '{"jsonrpc": "2.0", "id": "a-7", "method": "ping", "params": {"x': ("a-7", -32700),
    f'{{"jsonrpc": "2.0", "id": {"7" * 5000}, "method": "ping"}}': (None, -32700),
    "hello": (None, -32700),
    "[]": (None, -32600),
    '{"jsonrpc": "2.0", "id": 7, "method": "ping", "params": [1]}': (7, -32600),
    '{"id": 7, "method": "ping"}': (7, -32600),
}
"""Lines, and the id and code of the reply."""


def test_a_line_that_is_no_message_gets_an_error_with_its_id(sweep: Path) -> None:
    with pipe(sweep) as process:
        _answered(process)
        for line, expected in NO_MESSAGES.items():
            reply = _reply_to(process, f"\n{line}")
            assert (reply["id"], reply["error"]["code"]) == expected
        send(process, {"id": 8, "method": "ping"})
        assert json.loads(process.stdout.readline()) == {"jsonrpc": "2.0", "id": 8, "result": {}}


def test_input_that_is_all_there_at_the_beginning_is_answered_before_the_end(sweep: Path) -> None:
    with pipe(sweep) as process:
        out, _ = process.communicate(
            "".join(json.dumps({"jsonrpc": "2.0", **m}) + "\n" for m in HELLO).encode(), timeout=60
        )
    assert json.loads(out.splitlines()[0])["id"] == 1


def _names(pid: int) -> str:
    """The names of a process's threads, whole or cut as the system does it, and of its module."""
    tasks = Path(f"/proc/{pid}/task").glob("*/comm")
    return "sweeplens-stdin" if len(list(tasks)) > 1 else ""
