"""Reads the folder of a run that ended, or has only begun, before it logged a metric: its settings, and how it ended."""

from __future__ import annotations

from collections.abc import Iterable

from sweeplens.readers.decoding.sidecars import in_hydra, read_config
from sweeplens.readers.decoding.values import empty_reading_points
from sweeplens.readers.protocol import Claim, Folder, Problem, Reading, Resume, RunRecord, Source

__all__ = ["NAME", "Unlogged"]

NAME = "unlogged"


class Unlogged:
    """Folders without metrics beside folders of runs with the same files.

    Producer: any program that fails, or is killed, before its first metric
    Files: a configuration or printed output (``stderr.txt``, ``train.log``, ``slurm-*.out``) in a folder like those of the runs beside it, but without a log of metrics
    Reads: the settings; how the run ended, by the last lines that it printed and by markers; a run without points
    Leaves: folders that are unlike the runs beside them
    """  # noqa: E501 - a line of docs/formats.md each

    name = NAME
    version = 1

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims nothing: such folders are known only once all others are claimed (`sources.unlogged_runs`)."""
        del folder
        return ()

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Returns one run without points."""
        del resume
        side = read_config(source.files)
        record = RunRecord(source.relative, hyperparameters=side.hyperparameters, metadata=side.about)
        problems = tuple(Problem(path, reason) for path, reason in side.problems)
        return Reading((in_hydra(source, record),), empty_reading_points(), problems)
