"""`make cluster`: Spark and replicas of the server on this machine; one line for each trial, exit code 1 if one failed.

python -m tests.cluster [--rows 20000000] [--calls 1000] [NAME ...]
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
from tests.cluster import failures, large, reading, replicas, same_answers, spark

ON_SPARK = ("same_answers", "ingest", "ingest_killed", "ingest_cancelled", "large", "killed", "cancelled", "silent")
ON_LOCAL_CLUSTER = ("local_cluster",)


def main() -> int:
    """Runs the trials that were named, by default all."""
    given = argparse.ArgumentParser(prog="cluster")
    given.add_argument("names", nargs="*", choices=[*ON_SPARK, *ON_LOCAL_CLUSTER, "replicas", []])
    given.add_argument("--rows", type=int, default=20_000_000, help="points of the large sweeps")
    given.add_argument("--calls", type=int, default=1000, help="calls through the proxy")
    options = given.parse_args()
    wanted = options.names or [*ON_SPARK, *ON_LOCAL_CLUSTER, "replicas"]
    home = Path(tempfile.mkdtemp(prefix="sweeplens-cluster-"))
    held: list[bool] = []
    if "replicas" in wanted:
        http = _made(home / "http")
        held.append(_trial("replicas", lambda: replicas.a_thousand_calls_through_a_proxy(http, options.calls)))
    on_spark = [name for name in (*ON_SPARK, *ON_LOCAL_CLUSTER) if name in wanted]
    if on_spark and (why := spark.missing()):
        print(f"skipped  {', '.join(on_spark)}: {why}", flush=True)
        on_spark = []
    held += _on_standalone([name for name in on_spark if name in ON_SPARK], home, options.rows)
    held += _on_local_cluster([name for name in on_spark if name in ON_LOCAL_CLUSTER], home)
    shutil.rmtree(home, ignore_errors=True)
    return 0 if all(held) else 1


def _on_local_cluster(names: list[str], home: Path) -> list[bool]:
    """Runs these trials on a server whose master starts the executors itself."""
    if not names:
        return []
    with spark.spark_cluster(_made(home / "local"), spark.LOCAL_CLUSTER) as cluster:
        trials: tuple[Callable[[], str], ...] = (
            lambda: same_answers.tools_say_the_same(cluster, _made(home / "local-same"), 1),
            lambda: reading.executors_read_what_this_machine_reads(cluster, _made(home / "local-read"), 1),
        )
        return [_trial("local_cluster", lambda: f"{spark.LOCAL_CLUSTER}: {'; '.join(trial() for trial in trials)}")]


def _on_standalone(names: list[str], home: Path, rows: int) -> list[bool]:
    """Starts a cluster and runs these trials on it."""
    if not names:
        return []
    with spark.spark_cluster(_made(home / "spark")) as cluster:
        trials: dict[str, Callable[[], str]] = {
            "same_answers": lambda: same_answers.tools_say_the_same(cluster, _made(home / "same")),
            "ingest": lambda: reading.executors_read_what_this_machine_reads(cluster, _made(home / "read")),
            "ingest_killed": lambda: reading.a_killed_executor_doubles_no_point(
                cluster, _made(home / "read-killed"), rows // 2
            ),
            "ingest_cancelled": lambda: reading.a_cancelled_ingest_changes_nothing(
                cluster, _made(home / "read-cancelled"), rows // 2
            ),
            "large": lambda: large.a_large_sweep_has_the_same_answers(cluster, _made(home / "large"), rows),
            "killed": lambda: failures.a_killed_executor_changes_no_answer(cluster, _made(home / "killed"), rows),
            "cancelled": lambda: failures.a_cancelled_call_frees_the_cluster(cluster, home, rows),
            "silent": lambda: failures.a_silent_cluster_costs_a_warning(cluster, _made(home / "silent"), rows),
        }
        return [_trial(name, trials[name]) for name in names]


def _trial(name: str, run: Callable[[], str]) -> bool:
    began = time.monotonic()
    try:
        told, held = run(), True
    except Exception as error:  # noqa: BLE001  # each trial is told, and the next one runs
        traceback.print_exc()
        told, held = f"{type(error).__name__}: {error}"[:2000], False
    print(f"{'held' if held else 'FAILED':8} {name}: {told} ({time.monotonic() - began:.0f} s)", flush=True)
    return held


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


if __name__ == "__main__":
    sys.exit(main())
