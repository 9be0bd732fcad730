"""Progress of the jobs of a cluster, by stages: how many tasks of the stages that are known have ended.

    stages_noted(note)     inside, in this thread, what the client is told of its job's stages goes to ``note``
    reporting(report)      inside, in this thread, jobs of a cluster call ``report`` while they run

The client calls one handler for all jobs of a session, each in the thread that waits for its job.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from msgspec import Struct

__all__ = ["JobStages", "StageReport", "note_stages", "reported_stages", "reporting", "stages_noted"]

StageReport = Callable[[int, int, str], None]
"""Called with (tasks done, tasks known, text) while a job runs; it may raise to end the job."""


class JobStages(Struct, frozen=True):
    """Tasks of a job: those that ended, and all that are known. ``ended``, ``stages``: the same of stages."""

    done: int = 0
    tasks: int = 0
    ended: int = 0
    stages: int = 0

    @property
    def described(self) -> str:
        """The stage that runs, formatted for display."""
        return f"stage {min(self.ended + 1, self.stages)} of {self.stages}"


class _StageInfo(Protocol):
    """What the client tells of a stage."""

    num_tasks: int
    num_completed_tasks: int
    done: bool


_note: ContextVar[Callable[[JobStages], None] | None] = ContextVar("sweeplens_stages", default=None)
_report: ContextVar[StageReport | None] = ContextVar("sweeplens_stage_report", default=None)


@contextmanager
def stages_noted(note: Callable[[JobStages], None]) -> Generator[None]:
    """Inside, in this thread, ``note`` gets the stages of the job that the client waits for."""
    token = _note.set(note)
    try:
        yield
    finally:
        _note.reset(token)


def note_stages(
    stages: Iterable[_StageInfo] | None, inflight_tasks: int = 0, operation_id: str | None = None, done: bool = False
) -> None:
    """The handler of a session: the names of its arguments are the client's."""
    note, known = _note.get(), list(stages or ())
    if note is not None and known:
        tasks, ended = sum(s.num_tasks for s in known), sum(s.num_completed_tasks for s in known)
        note(JobStages(ended, tasks, sum(s.done for s in known), len(known)))


@contextmanager
def reporting(report: StageReport) -> Generator[None]:
    """Inside, in this thread, each job of a cluster calls ``report`` while it runs."""
    token = _report.set(report)
    try:
        yield
    finally:
        _report.reset(token)


def reported_stages() -> StageReport | None:
    """Returns the report of the call in this thread."""
    return _report.get()
