"""`sweeplens ingest`: reads logs into the store, on this machine or on the executors of a Spark cluster, and says what it read."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sweeplens.config import AnalysisConfig
from sweeplens.engines.address import is_cluster, shown_address
from sweeplens.experiment_db import ExperimentDB
from sweeplens_mcp.cli.parsing import SentenceParser
from sweeplens_mcp.cli.progress import ProgressLine
from sweeplens_mcp.render.cells import clean, clip

if TYPE_CHECKING:
    from sweeplens.ingest.refresh import LoadReport

__all__ = ["ingest_parser", "main"]

_SHOWN = 5


def main(arguments: Sequence[str]) -> int:
    """Reads the logs and prints what was read. Raises SweeplensError with a sentence."""
    options = ingest_parser().parse_args(arguments)
    print("\n".join(_ingested((*options.folders, *options.root), options.engine)))
    return 0


def ingest_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command's arguments."""
    parser = SentenceParser(
        prog="sweeplens ingest", allow_abbrev=False,
        description="Reads logs into the store now. With a cluster, its executors read them and write the points.",
        epilog="example: sweeplens ingest --engine sc://spark.example.org:15002 --root /mnt/experiments",
    )  # fmt: skip
    parser.add_argument("folders", nargs="*", default=[], metavar="DIR", help="a folder of experiments, as --root")
    parser.add_argument(
        "--engine",
        default="",
        metavar="ENGINE",
        help="a Spark Connect server, sc://host:15002; default ANALYSIS_ENGINE",
    )
    parser.add_argument(
        "--root", action="append", default=[], metavar="DIR", help="a folder of experiments; may be given several times"
    )
    return parser


def _ingested(roots: tuple[str, ...], engine: str) -> Iterator[str]:
    """Returns the lines to print. ``engine``: as the setting; empty: that of the configuration. Raises SweeplensError."""
    config = AnalysisConfig(engine=engine) if engine else AnalysisConfig()
    with ProgressLine(sys.stderr, "opening the experiments") as progress:
        database = ExperimentDB(config, base_path=list(roots) or None)
        load = database.load_on_cluster if is_cluster(config.engine) else database.load_experiments
        report = load(progress.update)
    yield f"Read {report.n_runs:,} runs, {report.n_points:,} points in {report.n_files:,} files, {report.seconds:.1f} s"
    if is_cluster(config.engine):
        yield f"Engine: {clean(shown_address(config.engine))}"
    yield f"Store: {clean(database.store)}"
    yield from _problems(report)


def _problems(report: LoadReport) -> Iterator[str]:
    if not report.problems:
        return
    yield f"Problems: {len(report.problems)} (sweeplens doctor lists more of them)"
    for problem in report.problems[:_SHOWN]:
        line = f":{problem.line}" if problem.line else ""
        yield f"  {clip(clean(f'{problem.file}{line}: {problem.reason}'), 300)}"
