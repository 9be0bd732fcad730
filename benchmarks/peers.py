"""The same question to other tools: mean and deviation of the final val/acc by learning rate.

    python benchmarks/peers.py [RUNS [MORE]]        (`make bench-peers` makes the environment of the peers first)

The same runs of 1,000 steps x 10 metrics are written with each peer's own means, which is not timed (`make bench` takes 25 of
the 500 runs, as some peers need seconds to write one). Then each is asked: cold is a new process, start and imports included;
warm is a second new process; again is the second answer in one process. The peers live in build/peers-venv; what is missing
there is said and left out. DuckDB, which reads the logs themselves, is asked about all 500 too. Every
answer must be ours. Prints the section for README.md.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from support.sweep import write_sweep

_HERE = Path(__file__).resolve().parent
_BIN = "Scripts/python.exe" if sys.platform == "win32" else "bin/python"
_PYTHON = Path(os.environ.get("PEERS_PYTHON") or _HERE.parent / "build" / "peers-venv" / _BIN)
_PEERS = {
    "duckdb_json": "DuckDB `read_json`",
    "mlflow_sqlite": "MLflow, sqlite",
    "trackio_sqlite": "Trackio",
    "tensorboard_events": "TensorBoard `EventAccumulator`",
    "wandb_offline": "wandb offline files",
}
_WITHOUT_WRITING = ("duckdb_json",)
_PATIENCE = 900.0


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds: to write, to the first answer, to that of a second process, and to the second answer in it."""

    write: float
    cold: float
    warm: float
    again: float


def asked(
    peer: str, python: str, logs: Path, home: Path, right: dict[str, list[float]] | None
) -> tuple[Times, dict[str, list[float]]]:
    """Write with a peer, and ask it. Raises RuntimeError with the reason where it cannot be."""
    home.mkdir()
    (home / "logs").write_text(str(logs))
    write, _ = _run(python, peer, "write", logs, home)
    if peer not in ("ours", "duckdb_json"):
        (home / "logs").unlink()
    cold, said = _run(python, peer, "answer", home)
    warm, said = _run(python, peer, "answer", home)
    found = json.loads(said.splitlines()[-1])
    if right is not None and not _alike(found["answer"], right):
        raise RuntimeError(f"its answer is another one: {found['answer']}")
    return Times(write, cold, warm, found["again"]), found["answer"]


def _alike(one: dict[str, list[float]], other: dict[str, list[float]]) -> bool:
    """Equal as far as single precision goes, which is what event files hold."""
    pairs = [(a, b) for key in other for a, b in zip(one.get(key, [math.nan] * 2), other[key], strict=True)]
    return one.keys() == other.keys() and all(math.isclose(a, b, rel_tol=1e-5) for a, b in pairs)


def _run(python: str, peer: str, *arguments: object) -> tuple[float, str]:
    command = [python, str(_HERE / "peers" / f"{peer}.py"), *map(str, arguments)]
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["it ended without a word"])[-1])
    return time.perf_counter() - began, done.stdout


def rows(runs: int, peers: Mapping[str, str]) -> Iterator[str]:
    """Asks about so many runs; returns a line of the table for each tool."""
    with tempfile.TemporaryDirectory() as root:
        logs = Path(root, "logs")
        write_sweep(logs, runs=runs)
        ours, right = asked("ours", sys.executable, logs, Path(root, "ours"), None)
        yield f"| {runs} | sweeplens | {ours.cold:.2f} | {ours.warm:.2f} | {ours.again:.3f} | 1 | 1 |"
        for peer, name in peers.items():
            home = Path(root, peer)
            try:
                theirs, _ = asked(peer, str(_PYTHON), logs, home, right)
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                yield f"| {runs} | {name} | not measured: {error} | | | | |"
                continue
            finally:
                shutil.rmtree(home, ignore_errors=True)
            ratios = f"{theirs.cold / ours.cold:.1f} | {theirs.warm / ours.warm:.1f}"
            yield f"| {runs} | {name} | {theirs.cold:.2f} | {theirs.warm:.2f} | {theirs.again:.3f} | {ratios} |"


def main(runs: int = 25, more: int = 500) -> None:
    """Asks every tool about some runs, and those that need no writing about many; prints the table."""
    print("## Beside what users would pick instead\n\n`make bench-peers`: runs of 1,000 steps x 10 metrics, seconds\n")
    if not _PYTHON.exists():
        print(f"No environment of the peers at {_PYTHON}: `make bench-peers` makes it.")
        return
    print("| runs | who | cold | warm | again | cold, x ours | warm, x ours |\n|---|---|---|---|---|---|---|")
    for row in (*rows(runs, _PEERS), *rows(more, {k: v for k, v in _PEERS.items() if k in _WITHOUT_WRITING})):
        print(row, flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
