"""Reads logs of Lightning's CSVLogger: `metrics.csv` and `hparams.yaml` in a version folder."""

from __future__ import annotations

import re
from collections.abc import Iterable

from sweeplens.readers.decoding.axis_names import folded
from sweeplens.readers.decoding.compression import plain_name
from sweeplens.readers.decoding.delimited.cells import header_of, sample
from sweeplens.readers.decoding.delimited.table import ColumnPlan, TableReading, read_header, read_table
from sweeplens.readers.decoding.row_keys import TIME_KEYS
from sweeplens.readers.decoding.sidecars import config_files, in_hydra, read_config
from sweeplens.readers.protocol import Claim, Folder, Problem, Reading, Resume, RunRecord, Source
from sweeplens.readers.trainers.lightning_duplicates import event_duplicates

__all__ = ["LightningCsv"]

_METRICS, _HPARAMS = "metrics.csv", "hparams.yaml"
_VERSION = re.compile(r"version_\d+")


class LightningCsv:
    """CSV logs of Lightning.

    Producer: ``CSVLogger`` of Lightning, PyTorch Lightning and Fabric
    Files: ``metrics.csv`` with a ``step`` column and no times, beside ``hparams.yaml`` or in ``version_<N>``; ``version_<N>`` with only ``hparams.yaml`` is a run without points
    Reads: every number at its step, with columns in any order; hyperparameters, Python objects among them as plain data
    Leaves: TensorBoard files of a second logger, in the same folder, or in a related folder if their numbers are the same
    """  # noqa: E501 - a line of docs/formats.md each

    name = "lightning_csv"
    version = 5

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims a folder with the logger's table, or one that was created for it."""
        tables = [n for n in folder.free(_METRICS) if plain_name(n) == _METRICS]
        if any(_is_written_by_it(folder, folder.head(n)) for n in tables):
            yield Claim((tables[0], *config_files(folder)), copies=event_duplicates(folder))
        elif _HPARAMS in folder.free(_HPARAMS) and _is_unwritten(folder, tables):
            yield Claim((*tables, *config_files(folder)))

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads the new rows; the whole table where the logger rewrote it for a new metric."""
        run, main = source.relative, source.files[0]
        header = read_header(main.path, ",") if plain_name(main.path).endswith(_METRICS) else None
        table = read_table(main.path, header, ColumnPlan(axis="step"), run, resume) if header else TableReading()
        own = read_config(source.files, names=(_HPARAMS,), unwrap=False)
        rest = read_config([f for f in source.files if not f.path.endswith(_HPARAMS)])
        record = RunRecord(
            run,
            hyperparameters={**rest.hyperparameters, **own.hyperparameters},
            metadata=rest.about,
            non_scalar=table.non_scalar,
        )
        broken = [Problem(path, reason) for path, reason in (*own.problems, *rest.problems)]
        return Reading((in_hydra(source, record),), table.points, (*table.problems, *broken), table.resume)


def _is_written_by_it(folder: Folder, head: bytes) -> bool:
    """Whether a table has a step and no time (the logger never writes one), and the place or form that the logger gives it.

    Its form: rows of training and of validation leave each other's cells empty.
    """
    header = header_of(head, ",")
    if header is None or "step" not in header.names or any(folded(n) in TIME_KEYS for n in header.names):
        return False
    if _HPARAMS in folder.files or _VERSION.fullmatch(folder.name) or event_duplicates(folder):
        return True
    return "epoch" in header.names and any(len(row) < len(header.names) for row in sample(head, header))


def _is_unwritten(folder: Folder, tables: list[str]) -> bool:
    """Whether a folder was created for this logger, but has no row yet."""
    if any("tfevents" in n for n in folder.files) or any(folder.files[n].size for n in tables):
        return False
    if tables or _VERSION.fullmatch(folder.name):
        return True
    siblings = parent.folders if (parent := folder.child("..")) else ()
    return any(folder.find(f"../{s}/{_METRICS}") and folder.find(f"../{s}/{_HPARAMS}") for s in siblings)
