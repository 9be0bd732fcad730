"""A live MLflow tracking server is read value by value, and a look asks only for what changed.

The tests with a real server run where SWEEPLENS_MLFLOW names the `bin` folder of a Python that has mlflow.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from support.stores import open_db

from sweeplens.errors import PlaceError

MLFLOW = os.environ.get("SWEEPLENS_MLFLOW", "")
LOGS = Path(__file__).parents[1] / "support" / "log_to_mlflow.py"
real = pytest.mark.skipif(not MLFLOW, reason="no mlflow")


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, Any]]]:
    """The address of a server over SQLite, and what was logged to it."""
    home = tmp_path_factory.mktemp("tracking")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [
        f"{MLFLOW}/mlflow",
        "server",
        "--port",
        str(port),
        "--workers",
        "1",
        "--backend-store-uri",
        "sqlite:///m.db",
    ]
    with (home / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=home, stdout=log, stderr=log, start_new_session=True)
        try:
            _wait_for(url)
            yield url, _log_to(url)
        finally:
            os.killpg(server.pid, 15)
            server.wait()


def _wait_for(url: str) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(f"{url}/health", timeout=5).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise AssertionError("the server does not start")


def _log_to(url: str, *what: str) -> Any:
    made = subprocess.run([f"{MLFLOW}/python", str(LOGS), url, *what], capture_output=True, text=True, check=True)
    return json.loads(made.stdout.splitlines()[-1])


@real
def test_every_value_is_as_it_was_logged(tracking: tuple[str, dict[str, Any]], tmp_path: Path) -> None:
    url, logged = tracking
    db = open_db(f"mlflow+{url}", tmp_path / "cache")
    runs, points = db.runs_df, db.lazy_query(raw=True).collect()
    assert set(runs["run_id"]) == set(logged)
    for run_id, about in logged.items():
        row = runs.row(by_predicate=pl.col("run_id") == run_id, named=True)
        assert row["name"] == about["name"]
        assert row["group"] == ('grid\'s: "search"', "zweite Übung")[about["experiment"]]
        assert {k: str(row[k.replace("/", "/")]) for k in about["params"]} == about["params"]
        mine = points.filter(run_id=run_id).sort("metric", "step")
        loss = mine.filter(metric="train/loss").select("step", "value").rows()
        assert loss == [tuple(point) for point in about["loss"]]
        odd = mine.filter(metric="odd metric.v1")["value"].to_list()
        assert str(odd) == "[nan, inf, -inf, 2.5]"
        assert mine.filter(metric="best.pt")["value"].to_list() == [0.5]
    assert sorted(runs["status"]) == ["failed", "finished", "finished", "finished", "running"]
    assert not db.overview().basis.warnings
    one = open_db(f"mlflow+{url}/zweite Übung", tmp_path / "cache")
    assert one.runs_df.height == 2
    with pytest.raises(PlaceError, match="Nearest: 'zweite Übung'"):
        open_db(f"mlflow+{url}/zweite Ubung", tmp_path / "cache").overview()


@real
def test_a_new_value_an_end_and_a_removal_are_seen(tracking: tuple[str, dict[str, Any]], tmp_path: Path) -> None:
    url, _ = tracking
    db = open_db(f"mlflow+{url}", tmp_path / "cache")
    (running,) = db.runs_df.filter(status="running")["run_id"]
    _log_to(url, "more", running)
    assert (
        db.lazy_query(raw=True).filter(pl.col("run_id") == running, metric="train/loss").collect()["value"][-1] == 77.0
    )
    _log_to(url, "end", running)
    assert db.runs_df.filter(run_id=running)["status"].to_list() == ["killed"]
    _log_to(url, "delete", running)
    assert db.runs_df.filter(run_id=running)["metadata.lifecycle"].to_list() == ["deleted"]


# ------------------------------------------------------------------ what the wire carries, without MLflow

Answers = Callable[[str, dict[str, str]], tuple[int, dict[str, str], bytes]]


@pytest.fixture
def serving() -> Iterator[Callable[[Answers], str]]:
    """Starts a server that answers (path, headers) -> (code, headers, body); returns its address."""
    servers: list[ThreadingHTTPServer] = []

    def serve(answer: Answers) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                code, headers, body = answer(self.path, dict(self.headers))
                self.send_response(code)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_credentials_come_from_the_variables_and_no_redirection_leads_to_another_server(
    serving: Callable[[Answers], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "hunter2")
    seen: dict[str, list[str]] = {"other": [], "named": []}  # what each was sent

    def other(path: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        seen["other"].append(headers.get("Authorization", ""))
        return 404, {}, b""

    elsewhere = serving(other)

    def named(path: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        seen["named"].append(headers.get("Authorization", ""))
        return 302, {"Location": f"{elsewhere}{path}"}, b""

    with pytest.raises(PlaceError, match="sends requests on to another server"):
        open_db(f"mlflow+{serving(named)}", tmp_path / "cache").overview()
    assert set(seen["named"]) == {"Bearer hunter2"}
    assert seen["other"] == []


@pytest.mark.parametrize(
    ("code", "body", "said"),
    [
        (401, b"", "MLFLOW_TRACKING_TOKEN"),
        (403, b"{}", "MLFLOW_TRACKING_TOKEN"),
        (404, b"", "does not answer as an MLflow tracking server"),
        (200, b"<html>Welcome</html>", "does not answer as an MLflow tracking server"),
        (200, b"[1]", "does not answer as an MLflow tracking server"),
        (500, b"", "answers 500"),
    ],
)
def test_a_server_that_refuses_or_is_none_is_said_without_the_password(
    serving: Callable[[Answers], str], tmp_path: Path, code: int, body: bytes, said: str
) -> None:
    url = serving(lambda path, headers: (code, {}, body)).replace("http://", "mlflow+http://me:hunter2@")
    with pytest.raises(PlaceError, match=said) as raised:
        open_db(url, tmp_path / "cache").overview()
    assert "hunter2" not in str(raised.value)


def test_pages_are_followed_and_names_that_lead_outside_are_refused(
    serving: Callable[[Answers], str], tmp_path: Path
) -> None:
    def answer(path: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        if "experiments/search" in path:
            return (
                200,
                {},
                json.dumps({"experiments": [{"experiment_id": "1", "name": "e", "artifact_location": "x"}]}).encode(),
            )
        if "runs/search" in path:
            metrics = [{"key": key, "value": 1.0, "timestamp": 1, "step": 3} for key in ("loss", "../../../outside")]
            info = {"experiment_id": "1", "run_id": "r", "status": "FINISHED", "start_time": 1, "end_time": 5}
            return 200, {}, json.dumps({"runs": [{"info": info, "data": {"metrics": metrics}}]}).encode()
        page = {"metrics": [{"value": "NaN", "timestamp": "1", "step": "1"}], "next_page_token": "more"}
        if "page_token=more" in path:
            page = {"metrics": [{"value": 2.0, "timestamp": "1", "step": "3"}]}
        return 200, {}, json.dumps(page).encode()

    db = open_db(f"mlflow+{serving(answer)}", tmp_path / "cache")
    assert str(db.lazy_query(raw=True).collect().sort("step")["value"].to_list()) == "[nan, 2.0]"
    assert "names that no path can have" in " ".join(db.overview().basis.warnings)
    assert not list(tmp_path.rglob("outside"))
