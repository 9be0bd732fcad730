"""`SparkConnection`: one session of a Spark Connect server. Each job is bounded in rows, and is cancelled with its call.

A server that does not answer within 9 seconds is an error. While a job runs, the
call's `checkpoint` is looked at twenty times a second; a cancelled call interrupts its job by a tag of its own.
"""

from __future__ import annotations

import logging
import re
import socket
import sys
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, cast

import polars as pl

from sweeplens.cancellation import checkpoint
from sweeplens.engines.address import ClusterAddress
from sweeplens.engines.spark_progress import JobStages, StageReport, note_stages, reported_stages, stages_noted
from sweeplens.engines.spark_types import SparkFrame, SparkSession
from sweeplens.errors import EngineError, LimitError

__all__ = ["ANSWER_SECONDS", "MOST_ROWS", "RETRY_SECONDS", "ClusterUnreachableError", "Plan", "SparkConnection"]

log = logging.getLogger("sweeplens.engines")

ANSWER_SECONDS = 9.0
MOST_ROWS = 5_000_000
RETRY_SECONDS = 30.0
_POLL_SECONDS = 0.05
_ALIVE_SECONDS = 10.0  # how often it is looked whether the server of a running job still accepts connections
_CONNECT_SECONDS = 4.0
_SHOWN = 300
_LOST_SESSION = ("INVALID_HANDLE", "SESSION_CHANGED", "SESSION_CLOSED", "SESSION_NOT_FOUND")

Plan = Callable[[SparkSession], SparkFrame]
"""What makes the plan of a job from a session; it may send small tables."""


class ClusterUnreachableError(EngineError):
    """The server does not answer."""


class _SessionLostError(ClusterUnreachableError):
    """The server has forgotten the session: it was idle for an hour, or the server was started again."""


class SparkConnection:
    """Runs jobs on a cluster. Used from several threads at the same time."""

    def __init__(self, address: ClusterAddress) -> None:
        self.address = address
        self._lock = threading.Lock()
        self._session: SparkSession | None = None
        self._why_down, self._down_until = "", float("-inf")

    @property
    def why_down(self) -> str:
        """Why the cluster is not asked now; empty if it is."""
        return self._why_down if time.monotonic() < self._down_until else ""

    def collected(self, plan: Plan, most: int | None = MOST_ROWS, report: StageReport | None = None) -> pl.DataFrame:
        """Runs a job and returns its rows. A cluster that did not answer is asked again after half a minute.

        ``most``: None for a plan that bounds its own rows, and whose tasks should run once. ``report``: called while it runs.
        Raises ClusterUnreachableError, LimitError for more than ``most`` rows, EngineError if the job fails, and what
        `checkpoint` raises if the call is cancelled.
        """
        if self.why_down:
            raise ClusterUnreachableError(self._why_down)
        try:
            return self._with_session(plan, most, report or reported_stages())
        except ClusterUnreachableError as error:
            self._why_down, self._down_until = str(error), time.monotonic() + RETRY_SECONDS
            raise

    def _with_session(self, plan: Plan, most: int | None, report: StageReport | None) -> pl.DataFrame:
        """Runs a job, in a new session if the server has forgotten the last one."""
        try:
            return self._run(plan, most, report)
        except _SessionLostError:
            return self._run(plan, most, report)

    def _run(self, plan: Plan, most: int | None, report: StageReport | None) -> pl.DataFrame:
        _load_client()
        began = time.monotonic()
        job = _Job(self._opened, plan, most)
        job.start()
        try:
            self._wait(job, began, report)
        except BaseException:  # cancels the job on the cluster, and raises
            job.interrupt()
            raise
        return self._result(job, most)

    def _check_accepts(self) -> None:
        """Raises ClusterUnreachableError unless the server accepts connections."""
        try:
            socket.create_connection((self.address.host, self.address.port), timeout=_CONNECT_SECONDS).close()
        except OSError as error:
            raise ClusterUnreachableError(f"the cluster {self.address.shown} does not answer ({error})") from error

    def _opened(self) -> SparkSession:
        """Returns the session; the first job opens it. Called in the job's thread, as a name can take long to be resolved."""
        self._check_accepts()
        with self._lock:
            if self._session is None:
                self._session = _new_session(self.address.url)
            return self._session

    def _wait(self, job: _Job, began: float, report: StageReport | None) -> None:
        """Returns when the job has ended. Raises ClusterUnreachableError if it does not begin, or its server is gone."""
        looked, shown = began, JobStages()
        while not job.ended.wait(_POLL_SECONDS):
            checkpoint()
            if report is not None and job.stages != shown:
                shown = job.stages
                report(shown.done, shown.tasks, f"{self.address.shown}: {shown.described}")
            now = time.monotonic()
            if not job.answered.is_set() and now - began > ANSWER_SECONDS:
                raise ClusterUnreachableError(
                    f"the cluster {self.address.shown} did not answer within {ANSWER_SECONDS:.0f} s"
                )
            if now - looked > _ALIVE_SECONDS:
                self._check_accepts()
                looked = now

    def _result(self, job: _Job, most: int | None) -> pl.DataFrame:
        if job.error is not None:
            with self._lock:
                if job.session is self._session and not _is_of_the_job(job.error):
                    self._session = None  # the next job opens another one
            if isinstance(job.error, EngineError):
                raise job.error
            raise _translated(job.error, self.address.shown) from job.error
        frame = cast("pl.DataFrame", pl.from_arrow(job.table))  # pyright: ignore[reportUnknownMemberType]
        if most is not None and frame.height > most:
            raise LimitError(
                f"The answer needs more than {most:,} points in this process, the most that are fetched from a cluster. Ask "
                "for fewer runs (runs, where), fewer metrics or a range of steps."
            )
        return frame


class _Job:
    """One query in a thread of its own, as the client has no call that can be left."""

    def __init__(self, opened: Callable[[], SparkSession], plan: Plan, most: int | None) -> None:
        self._opened, self._plan, self._most = opened, plan, most
        self.stages = JobStages()
        self._tag = f"sweeplens-{uuid.uuid4().hex}"
        self.session: SparkSession | None = None
        self.answered, self.ended = threading.Event(), threading.Event()
        self.table: Any = None
        self.error: Exception | None = None

    def start(self) -> None:
        """Starts the job."""
        threading.Thread(target=self._run, name=self._tag, daemon=True).start()

    def _run(self) -> None:
        try:
            self.session = self._opened()
            self.session.conf.get("spark.sql.session.timeZone")  # the cheapest question that the server itself answers
            self.answered.set()
            self.session.addTag(self._tag)
            frame = self._plan(self.session)
            with stages_noted(self._note):
                self.table = (frame if self._most is None else frame.limit(self._most + 1)).toArrow()
        except Exception as error:  # noqa: BLE001  # no boundary: the thread of the call raises it
            self.error = error
        finally:
            self.ended.set()

    def _note(self, stages: JobStages) -> None:
        self.stages = stages

    def interrupt(self) -> None:
        """Cancels the job on the cluster, without waiting for the cluster."""
        if self.session is not None:
            threading.Thread(target=self._interrupt, args=(self.session,), daemon=True).start()

    def _interrupt(self, session: SparkSession) -> None:
        try:
            session.interruptTag(self._tag)
        except _client_errors():  # the call is over, and an unreachable cluster was reported
            log.info("The job %s could not be interrupted", self._tag, exc_info=True)


def _client_errors() -> tuple[type[Exception], ...]:
    """Returns what the client raises for a cluster that cannot be reached or refuses."""
    return OSError, import_module("grpc").RpcError, import_module("pyspark.errors").PySparkException


def _load_client() -> None:
    """Imports the client, which takes about a second; this is not the cluster's time."""
    if "pyspark.sql.connect.session" not in sys.modules:
        with warnings.catch_warnings(), _main_with_a_file():
            warnings.simplefilter("ignore")  # of a pandas that the client does not know yet; no pandas is used here
            import_module("pyspark.sql.connect.session")


@contextmanager
def _main_with_a_file() -> Generator[None]:
    """Gives the main module a file meanwhile: an embedded interpreter has none, which the client takes for its doctests."""
    main = sys.modules["__main__"]
    if hasattr(main, "__file__"):
        yield
        return
    main.__file__ = ""
    try:
        yield
    finally:
        del main.__file__


def _new_session(url: str) -> SparkSession:
    """Returns a new session that gives up soon; by default the client tries for ten minutes."""
    session = import_module("pyspark.sql.connect.session").SparkSession(connection=url)
    policy = import_module("pyspark.sql.connect.client.retries").DefaultPolicy
    session.registerProgressHandler(note_stages)
    session.client.set_retry_policies([policy(max_retries=4, max_backoff=1000, recognize_server_retry_delay=False)])
    return session


def _is_of_the_job(error: Exception) -> bool:
    """Whether the job itself failed, and the session can be used again."""
    if isinstance(error, ClusterUnreachableError):
        return False
    return type(error).__name__ not in _UNREACHABLE and not any(word in str(error) for word in _LOST_SESSION)


def _reason(error: Exception) -> str:
    """Returns the line of an error that says why: the last one of a traceback of Python on an executor, else the first."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    raised = [line for line in lines if _RAISED.match(line)] if any("Traceback" in line for line in lines) else []
    return _RAISED.sub("", raised[-1]) if raised else lines[0]


_RAISED = re.compile(r"(?:[A-Za-z_]\w*\.)*(?:[A-Za-z_]\w*Error|[A-Za-z_]\w*Exception): ")
_UNREACHABLE = ("RetriesExceeded", "_InactiveRpcError", "_MultiThreadedRendezvous", "SparkConnectGrpcException")


def _translated(error: Exception, cluster: str) -> EngineError:
    """Returns a sentence for an error of the client or of the cluster."""
    first = _reason(error)[:_SHOWN]
    if any(word in str(error) for word in _LOST_SESSION):
        return _SessionLostError(f"the cluster {cluster} has forgotten the session ({first})")
    if not _is_of_the_job(error):
        return ClusterUnreachableError(f"the cluster {cluster} does not answer ({first})")
    log.debug("A job of the cluster %s failed", cluster, exc_info=error)
    return EngineError(
        f"The cluster {cluster} could not answer: {first.rstrip('.')}. Its executors must reach the store (ANALYSIS_CACHE_DIR: a "
        "folder that all of them share, or an object store)."
    )
