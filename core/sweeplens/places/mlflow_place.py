"""A live MLflow tracking server as a place: runs appear as the files of MLflow's own file store, which its reader reads.

    mlflow+http://HOST:PORT              all experiments
    mlflow+http://HOST:PORT/EXPERIMENT   one, by its name or id; the server may also lie below a path of its own

A refresh lists experiments and runs, page by page, with their parameters, tags and the last value of each metric. The history of a
metric is fetched where its last value or the status of its run changed since the last refresh. Credentials come from the
variables that MLflow's client knows: MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from sweeplens.errors import PlaceError, nearest
from sweeplens.places.mlflow_requests import MissingApiError, MlflowRequests
from sweeplens.places.remote import RemoteFile

__all__ = ["MlflowPlace"]

_MOST = 1000  # results of one page
_STATUSES = {"RUNNING": 1, "SCHEDULED": 2, "FINISHED": 3, "FAILED": 4, "KILLED": 5}  # as the file store writes them
_UNKNOWN_SIZE = -1

Json = Mapping[str, Any]


class _Server(Struct, frozen=True):
    """Where the interface was found, and the experiment that the address names."""

    requests: MlflowRequests
    experiment: str


class MlflowPlace:
    """The runs of a tracking server. ``shown``: its address without secrets."""

    concurrency = 6
    reads_parts = False
    notes: tuple[str, ...] = ()

    def __init__(self, url: str, shown: str) -> None:
        self.address = shown
        self.folder_name = (
            re.sub(r"[^\w.\-= ]", "_", shown.partition("://")[2].rstrip("/").rpartition("/")[2]) or "mlflow"
        )
        self._url = url.partition("+")[2]
        self._server: _Server | None = None
        self._texts: dict[str, bytes] = {}

    def files(self) -> Sequence[RemoteFile]:
        """Returns the files of all runs. Raises PlaceError."""
        self._texts = {}
        server, experiments = self._found()
        files: list[RemoteFile] = []
        for experiment in experiments:
            name = f"{experiment['experiment_id']}/meta.yaml"
            files.append(self._text(name, _experiment_yaml(experiment), _seconds(experiment.get("last_update_time"))))
        ids = [str(e["experiment_id"]) for e in experiments]
        for at in range(0, len(ids), 100):
            body = {"experiment_ids": ids[at : at + 100], "max_results": _MOST, "run_view_type": "ALL"}
            for run in server.requests.pages("runs/search", body, "runs"):
                files += self._run(run)
        return files

    def read(self, file: RemoteFile, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yields a file: texts as they were listed, a metric's history page by page."""
        if file.name in self._texts:
            yield self._texts[file.name]
            return
        _, run_id, _, metric = file.name.split("/", 3)
        assert self._server is not None  # the file was listed
        query = {"run_id": run_id, "metric_key": metric, "max_results": "25000"}
        for point in self._server.requests.pages_by_get("metrics/get-history", query, "metrics"):
            yield f"{int(point['timestamp'])} {_number(point['value'])} {int(point.get('step') or 0)}\n".encode()

    def close(self) -> None:
        """Forgets the texts of the last listing."""
        self._texts = {}

    # --------------------------------------------------------------- private

    def _found(self) -> tuple[_Server, list[Json]]:
        """Returns the server and the experiments that the address names."""
        if self._server is not None:
            return self._server, self._experiments(self._server)
        for server in self._candidates():
            try:
                experiments = self._experiments(server)
            except MissingApiError:
                continue
            self._server = server
            return server, experiments
        raise PlaceError(
            f"{self.address} does not answer as an MLflow tracking server: check the address, as in mlflow+http://HOST:5000."
        )

    def _candidates(self) -> Iterator[_Server]:
        """Yields what an address with a path may mean: an experiment of a server, or a server below a path."""
        parts = urlsplit(self._url)
        path = parts.path.strip("/")
        above, _, last = path.rpartition("/")
        if path:
            yield _Server(MlflowRequests(parts, above, self.address), unquote(last))
        yield _Server(MlflowRequests(parts, path, self.address), "")

    def _experiments(self, server: _Server) -> list[Json]:
        body = {"max_results": _MOST, "view_type": "ALL"}
        found = list(server.requests.pages("experiments/search", body, "experiments"))
        if not server.experiment:
            return found
        wanted = server.experiment
        named = [e for e in found if e.get("name") == wanted] or [e for e in found if str(e["experiment_id"]) == wanted]
        if not named:
            near = nearest(wanted, [str(e.get("name")) for e in found])
            offer = f" Nearest: {', '.join(map(repr, near))}." if near else ""
            raise PlaceError(f"{self.address}: the server has no experiment {wanted!r} among {len(found)}.{offer}")
        return named

    def _run(self, run: Json) -> Iterator[RemoteFile]:
        """Yields the files of one run."""
        info, data = cast("Json", run["info"]), cast("Json", run.get("data") or {})
        home = f"{info['experiment_id']}/{info.get('run_id') or info['run_uuid']}"
        ended = _seconds(info.get("end_time")) or _seconds(info.get("start_time"))
        yield self._text(f"{home}/meta.yaml", _run_yaml(info), ended)
        for kind in ("params", "tags"):
            for entry in cast("list[Json]", data.get(kind) or []):
                yield self._text(f"{home}/{kind}/{entry['key']}", str(entry.get("value") or ""), ended)
        for last in cast("list[Json]", data.get("metrics") or []):
            state = f"{info.get('status')}-{info.get('end_time')}"
            version = f"{last.get('step')}-{last['timestamp']}-{last['value']}-{state}"
            yield RemoteFile(f"{home}/metrics/{last['key']}", _UNKNOWN_SIZE, _seconds(last["timestamp"]), version)

    def _text(self, name: str, text: str, mtime: float) -> RemoteFile:
        data = text.encode("utf-8", "replace")
        self._texts[name] = data
        return RemoteFile(name, len(data), mtime, _digest(data))


def _number(value: object) -> float:
    """Returns a value as it was logged: MLflow's databases hold an infinity as the largest number."""
    number = float(str(value))
    return math.copysign(math.inf, number) if abs(number) == sys.float_info.max else number


def _digest(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()[:16]


def _seconds(milliseconds: object) -> float:
    try:
        return int(str(milliseconds)) / 1000
    except ValueError:
        return 0.0


def _experiment_yaml(experiment: Json) -> str:
    fields = {k: experiment.get(k) for k in ("artifact_location", "experiment_id", "lifecycle_stage", "name")}
    return _yaml({"artifact_location": "", **fields})


def _run_yaml(info: Json) -> str:
    names = ("end_time", "experiment_id", "lifecycle_stage", "run_name", "start_time", "user_id")
    run_id = info.get("run_id") or info.get("run_uuid")
    status = _STATUSES.get(str(info.get("status")), 0)
    return _yaml({**{k: info.get(k) for k in names}, "run_id": run_id, "run_uuid": run_id, "status": status})


def _yaml(fields: Json) -> str:
    """Returns flat YAML as MLflow writes it; texts are quoted, so that none is taken for something else."""
    return "".join(f"{key}: {_scalar(value)}\n" for key, value in fields.items())


def _scalar(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    text = re.sub(r"[\x00-\x1f\x7f\x85\u2028\u2029]", " ", str(value)).replace("'", "''")
    return f"'{text}'"
