"""A server or an archive that is hostile is one error that names it; a folder beside it is read as ever."""

from __future__ import annotations

import contextlib
import io
import json
import socket
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.sweep import write_run

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.errors import PlaceError

ROWS = [{"step": float(i), "loss": 1.0 / (i + 1)} for i in range(5)]
Talk = Callable[[socket.socket, str], None]
EXPERIMENT: dict[str, Any] = {"experiment_id": "1", "name": "e"}
INFO: dict[str, Any] = {"experiment_id": "1", "run_id": "r", "status": "FINISHED", "start_time": 1, "end_time": 5}
METRIC: dict[str, Any] = {"key": "loss", "value": 1.0, "timestamp": 1, "step": 3}


@pytest.fixture
def talking() -> Iterator[Callable[[Talk], str]]:
    """Starts servers that answer each request as they like; gives their addresses."""
    listeners: list[socket.socket] = []

    def serve(talk: Talk) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=one, args=(listener.accept()[0],), daemon=True).start()

        def one(connection: socket.socket) -> None:
            with contextlib.suppress(OSError), connection:
                asked = connection.recv(65536).decode("latin-1")
                talk(connection, asked.partition("\r\n")[0])

        threading.Thread(target=accept, daemon=True).start()
        return f"mlflow+http://127.0.0.1:{listener.getsockname()[1]}"

    yield serve
    for listener in listeners:
        listener.close()


@pytest.fixture
def beside(tmp_path: Path) -> Callable[[str], ExperimentDB]:
    """Opens an address beside a healthy folder."""
    write_run(tmp_path / "healthy" / "r0", {"lr": 0.1}, ROWS)
    config = AnalysisConfig(cache="memory", cache_dir=str(tmp_path / "cache"))
    return lambda address: ExperimentDB(config, base_path=[tmp_path / "healthy", address])


def reply(body: bytes, head: str = "200 OK") -> Talk:
    return lambda connection, asked: connection.sendall(
        f"HTTP/1.0 {head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    )


def answers(**of: object) -> Talk:
    """A tracking server; ``of``: its answers by the last part of the path."""
    whole = {"experiments": {"experiments": [EXPERIMENT]}, "runs": {"runs": [{"info": INFO}]}, "metrics": {}, **of}

    def talk(connection: socket.socket, asked: str) -> None:
        (name,) = [name for name in whole if f"mlflow/{name}/" in asked]
        held = whole[name]
        reply(held if isinstance(held, bytes) else json.dumps(held).encode())(connection, asked)

    return talk


ODD: list[Any] = [
    b"<html>",
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b"\xff\xfe",
    b"9" * 10_000,
    {"experiments": 5},
    {"experiments": {"a": 1}},
    {"experiments": ["x"]},
    {"experiments": [{}]},
    {"experiments": [{"experiment_id": None, "name": 5, "last_update_time": 10**400}]},
]
ODD_RUNS: list[Any] = [
    {"runs": "x"},
    {"runs": [{}]},
    {"runs": [{"info": 5}]},
    {"runs": [{"info": INFO, "data": 5}]},
    {"runs": [{"info": INFO, "data": {"params": [5]}}]},
    {"runs": [{"info": INFO, "data": {"metrics": [{"key": "loss"}]}}]},
    {"runs": [{"info": {**INFO, "end_time": 10**400}, "data": {"metrics": [METRIC]}}]},
    {"runs": [{"info": {**INFO, "run_id": "../../../outside"}, "data": {"metrics": [METRIC]}}]},
]
ODD_POINTS: list[Any] = [
    {"metrics": [{}]},
    {"metrics": [{"timestamp": "x", "value": 1}]},
    {"metrics": [{"timestamp": 1, "value": [1], "step": {}}]},
    {"metrics": [{"timestamp": 1e400, "value": 1}]},
    {"metrics": 7},
    b"[" * 100_000,
]
HELD = {"runs": [{"info": INFO, "data": {"metrics": [METRIC]}}]}


@pytest.mark.parametrize(
    "talk",
    [answers(experiments=odd) for odd in ODD]
    + [answers(runs=odd) for odd in ODD_RUNS]
    + [answers(runs=HELD, metrics=odd) for odd in ODD_POINTS],
)
def test_whatever_a_server_answers_a_folder_beside_it_is_read(
    talking: Callable[[Talk], str], beside: Callable[[str], ExperimentDB], talk: Talk
) -> None:
    address = talking(talk)
    answer = beside(address).list_runs()
    assert "r0" in answer.table["run_id"].to_list()
    assert all("Error:" not in warning or address in warning for warning in answer.basis.warnings)


def drip_body(connection: socket.socket, asked: str) -> None:
    connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
    while True:
        connection.sendall(b" ")
        time.sleep(0.02)


def drip_head(connection: socket.socket, asked: str) -> None:
    connection.sendall(b"HTTP/1.0 200 OK\r\nX: ")
    while True:
        connection.sendall(b"y")
        time.sleep(0.02)


@pytest.mark.parametrize("talk", [drip_body, drip_head])
def test_a_server_that_sends_a_byte_now_and_then_is_left(
    talking: Callable[[Talk], str],
    beside: Callable[[str], ExperimentDB],
    monkeypatch: pytest.MonkeyPatch,
    talk: Talk,
) -> None:
    monkeypatch.setattr("sweeplens.places.timed_requests._MOST_SECONDS", 0.2)
    began = time.monotonic()
    answer = beside(talking(talk)).list_runs()
    assert time.monotonic() - began < 8
    assert answer.table["run_id"].to_list() == ["r0"]
    assert "no whole answer within" in " ".join(answer.basis.warnings)


@pytest.mark.parametrize("size", [10, 2_000])
def test_pages_without_end_are_given_up(
    talking: Callable[[Talk], str], beside: Callable[[str], ExperimentDB], monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr("sweeplens.places.mlflow_requests._MOST_BYTES", 100_000)
    token = iter(range(10**9))

    def talk(connection: socket.socket, asked: str) -> None:
        name = "x" * size if size > 1_000 else "x"
        page = {"experiments": [{**EXPERIMENT, "name": name}], "next_page_token": next(token) if size > 1_000 else "t"}
        reply(json.dumps(page).encode())(connection, asked)

    answer = beside(talking(talk)).list_runs()
    assert answer.table["run_id"].to_list() == ["r0"]
    assert "not read" in " ".join(answer.basis.warnings)


@pytest.mark.parametrize(
    "target",
    ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://127.0.0.1:1/x", "http://169.254.169.254/latest", "//x/y"],
)
def test_no_redirection_leads_to_another_server_or_to_a_file(
    talking: Callable[[Talk], str], beside: Callable[[str], ExperimentDB], target: str
) -> None:
    answer = beside(talking(reply(b"", f"302 Found\r\nLocation: {target}"))).list_runs()
    assert answer.table["run_id"].to_list() == ["r0"]
    assert "another server" in " ".join(answer.basis.warnings)


def header(kind: bytes, size: bytes, name: bytes = b"x") -> bytes:
    """A block of a tar file, with the sizes of its own making."""
    block = bytearray(tarfile.TarInfo(name.decode()).tobuf(tarfile.USTAR_FORMAT))
    block[124:136], block[156:157], block[148:156] = size, kind, b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def attribute(text: bytes) -> bytes:
    """An extended header with one attribute."""
    line = b"%d %s\n" % (len(text) + 4, text)
    return header(tarfile.XHDTYPE, b"%011o\0" % len(line)) + line.ljust(512, b"\0")


NEGATIVE = b"\xff" * 10 + b"\xfc\x00"  # -1024 in base 256
LONG = b"%011o\0" % (1 << 20)
ENDING = bytes(1024)


@pytest.mark.parametrize(
    "content",
    [
        header(tarfile.REGTYPE, NEGATIVE) + ENDING,
        header(tarfile.XHDTYPE, NEGATIVE) + ENDING,
        header(tarfile.GNUTYPE_LONGNAME, NEGATIVE) + ENDING,
        header(tarfile.XHDTYPE, LONG) + b"1" * (1 << 20) + header(tarfile.REGTYPE, b"0" * 11 + b"\0") + ENDING,
        header(tarfile.XGLTYPE, LONG) + b"1" * (1 << 20) + header(tarfile.REGTYPE, b"0" * 11 + b"\0") + ENDING,
        header(tarfile.XHDTYPE, b"%011o\0" % (7 << 30)) + ENDING,
        header(tarfile.GNUTYPE_LONGNAME, LONG) + b"n" * (1 << 20) + header(tarfile.REGTYPE, b"0" * 11 + b"\0") + ENDING,
        attribute(b"size=-99999") + header(tarfile.REGTYPE, b"0" * 11 + b"\0") + ENDING,
        attribute(b"GNU.sparse.size=-1") + header(tarfile.REGTYPE, b"0" * 11 + b"\0") + ENDING,
        attribute(b"path=\xff\xfe") + header(tarfile.REGTYPE, b"0" * 11 + b"\0") + ENDING,
        attribute(b"mtime=nan") + header(tarfile.REGTYPE, b"0" * 11 + b"\0") + ENDING,
        (header(tarfile.XHDTYPE, b"%011o\0" % 512) + b"12 path=abc\n".ljust(512, b"\0")) * 3_000 + ENDING,
    ],
    ids=[
        "negative",
        "negative pax",
        "negative name",
        "digits",
        "global digits",
        "sizeless",
        "long name",
        "size",
        "sparse",
        "path",
        "time",
        "nested",
    ],
)
def test_a_hostile_tar_file_takes_neither_time_nor_memory(
    tmp_path: Path, beside: Callable[[str], ExperimentDB], content: bytes
) -> None:
    (tmp_path / "hostile.tar").write_bytes(content)
    began = time.process_time()
    answer = beside(str(tmp_path / "hostile.tar")).list_runs()
    assert time.process_time() - began < 3
    assert answer.table["run_id"].to_list() == ["r0"]


def test_names_and_comments_that_tar_writes_are_read(tmp_path: Path) -> None:
    data = b"".join(json.dumps(row).encode() + b"\n" for row in ROWS)
    with tarfile.open(tmp_path / "good.tar.gz", "w:gz", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo(f"{'é' * 60}/{'deep' * 30}/metrics.jsonl")
        info.size, info.mtime = len(data), 1.7e9 + 0.25
        info.pax_headers = {"comment": "x" * 20_000, "SCHILY.xattr.user.digits": "1" * 20}
        archive.addfile(info, io.BytesIO(data))
    db = ExperimentDB(AnalysisConfig(cache="memory", cache_dir=str(tmp_path / "c")), base_path=tmp_path / "good.tar.gz")
    assert db.list_runs().table.height == 1


def test_a_place_that_cannot_be_read_alone_is_an_error_of_its_own(
    tmp_path: Path, talking: Callable[[Talk], str]
) -> None:
    config = AnalysisConfig(cache="memory", cache_dir=str(tmp_path / "cache"))
    with pytest.raises(PlaceError, match="not as it should be"):
        ExperimentDB(config, base_path=talking(answers(runs=ODD_RUNS[1]))).list_runs()
