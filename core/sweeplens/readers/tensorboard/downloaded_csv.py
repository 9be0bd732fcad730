"""Series that TensorBoard's download button wrote: `run-<run>-tag-<tag>.csv` with Wall time, Step, Value."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath

import polars as pl

from sweeplens.readers.decoding.compression import plain_name
from sweeplens.readers.decoding.delimited.cells import header_of
from sweeplens.readers.decoding.delimited.table import ColumnPlan, Table, read_header, read_table
from sweeplens.readers.decoding.sidecars import config_files
from sweeplens.readers.decoding.values import joined_points
from sweeplens.readers.json.steps import described_by
from sweeplens.readers.protocol import Claim, Folder, Reading, Resume, RunRecord, Source

__all__ = ["TensorBoardExport"]

_NAMES = ("Wall time", "Step", "Value")


class TensorBoardExport:
    """Downloaded series.

    Producer: TensorBoard's download button
    Files: ``run-<run>-tag-<tag>.csv`` with the columns ``Wall time``, ``Step``, ``Value``; a config beside
    Reads: the files of one run as its series, each named by its tag as far as the file's name keeps it; times
    Leaves: nothing
    """

    name = "tensorboard_export"
    version = 1

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """The files of each run; a file that was renamed is a run of its own."""
        runs: dict[str, list[str]] = {}
        for name in folder.free(".csv"):
            if b"Wall time" in folder.head(name)[:40] and _is_export(folder.head(name)):
                runs.setdefault(_parts(name)[0] or name, []).append(name)
        config = config_files(folder) if runs else ()
        for files in runs.values():
            yield Claim((*files, *config), is_folder=False)

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Every file, anew: a download does not grow."""
        files = [f.path for f in source.files if plain_name(f.path).endswith(".csv")]
        run = _parts(files[0])[0]
        home = source.relative.rpartition("/")[0]
        run_id = (f"{home}/{run}" if home else run) if run else source.relative
        tables = [_series(path, run_id) for path in files]
        records, broken = described_by(source, [RunRecord(run_id, name=run)])
        problems = (p for t in tables for p in t.problems)
        return Reading(records, joined_points(t.points for t in tables), (*problems, *broken))


def _is_export(head: bytes) -> bool:
    header = header_of(head, ",")
    return header is not None and header.names == _NAMES


def _parts(path: str) -> tuple[str, str]:
    """The run and the tag that a file's name holds; no run and the whole name where it was renamed."""
    stem = PurePath(plain_name(path)).stem
    run, mark, tag = stem.removeprefix("run-").partition("-tag-")
    return (run, tag) if mark and stem.startswith("run-") else ("", stem)


def _series(path: str, run_id: str) -> Table:
    header = read_header(path, ",")
    if header is None or header.names != _NAMES:
        return Table()
    table = read_table(path, header, ColumnPlan(axis="Step", time="Wall time"), run_id)
    table.points = table.points.with_columns(pl.lit(_parts(path)[1]).alias("metric"))
    return table
