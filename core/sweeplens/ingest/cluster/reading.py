"""The jobs of an ingest on a cluster: reading parts, and writing files again where ids of runs collide."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import polars as pl

from sweeplens.engines.spark_progress import StageReport
from sweeplens.engines.spark_session import SparkConnection
from sweeplens.engines.spark_types import SparkFrame, SparkSession
from sweeplens.errors import EngineError
from sweeplens.ingest.cluster.parts import PartResult, RenameTask, SourcePart
from sweeplens.ingest.cluster.shipping import own_code, ship, work_on_executors

__all__ = ["read_parts", "rename_parts"]

_MOST_TASKS = 10_000  # of one job; a task then works on several parts


def read_parts(
    connection: SparkConnection, parts: Sequence[SourcePart], report: StageReport | None = None
) -> list[PartResult]:
    """Reads parts on the executors; their points are then in files that no HEAD names yet. Raises EngineError."""
    return _results(connection, "read_part", [part.packed() for part in parts], report)


def rename_parts(
    connection: SparkConnection, tasks: Sequence[RenameTask], report: StageReport | None = None
) -> list[PartResult]:
    """Writes files again on the executors. Raises EngineError."""
    return _results(connection, "rename_runs", [task.packed() for task in tasks], report)


def _results(
    connection: SparkConnection, verb: str, tasks: Sequence[bytes], report: StageReport | None
) -> list[PartResult]:
    """Returns the result of each task, in order. Of a task that was tried more than once, one result counts."""
    if not tasks:
        return []
    rows = connection.collected(partial(_plan, verb, tasks), None, report)
    found: dict[int, bytes] = dict(rows.unique("number").iter_rows())
    missing = [number for number in range(len(tasks)) if number not in found]
    if missing:
        raise EngineError(
            f"The cluster {connection.address.shown} returned nothing for {len(missing)} parts of the logs."
        )
    return [PartResult.unpacked(found[number]) for number in range(len(tasks))]


def _plan(verb: str, tasks: Sequence[bytes], session: SparkSession) -> SparkFrame:
    code = own_code()
    ship(session, code)
    table = pl.DataFrame(
        {"number": range(len(tasks)), "task": tasks}, schema={"number": pl.Int64(), "task": pl.Binary()}
    )
    sent = session.createDataFrame(table.to_arrow(compat_level=pl.CompatLevel.oldest()))
    spread = sent.repartitionByRange(min(len(tasks), _MOST_TASKS), "number")
    return spread.mapInArrow(work_on_executors(verb, code), "number bigint, result binary")
