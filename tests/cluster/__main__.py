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
from tests.cluster import failures, replicas, same_answers, spark

ON_SPARK = ("same_answers", "killed", "cancelled", "silent")


def main() -> int:
    """Runs the trials that were named, by default all."""
    given = argparse.ArgumentParser(prog="cluster")
    given.add_argument("names", nargs="*", choices=[*ON_SPARK, "replicas", []])
    given.add_argument("--rows", type=int, default=20_000_000, help="points of the sweep that is killed into")
    given.add_argument("--calls", type=int, default=1000, help="calls through the proxy")
    options = given.parse_args()
    wanted = options.names or [*ON_SPARK, "replicas"]
    home = Path(tempfile.mkdtemp(prefix="sweeplens-cluster-"))
    held: list[bool] = []
    if "replicas" in wanted:
        http = _made(home / "http")
        held.append(_trial("replicas", lambda: replicas.a_thousand_calls_through_a_proxy(http, options.calls)))
    held += _on_spark([name for name in ON_SPARK if name in wanted], home, options.rows)
    shutil.rmtree(home, ignore_errors=True)
    return 0 if all(held) else 1


def _on_spark(names: list[str], home: Path, rows: int) -> list[bool]:
    """Starts a cluster, unless none can be started here, and runs these trials on it."""
    if not names:
        return []
    if why := spark.missing():
        print(f"skipped  {', '.join(names)}: {why}", flush=True)
        return []
    with spark.spark_cluster(_made(home / "spark")) as cluster:
        trials: dict[str, Callable[[], str]] = {
            "same_answers": lambda: same_answers.tools_say_the_same(cluster, _made(home / "same")),
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
