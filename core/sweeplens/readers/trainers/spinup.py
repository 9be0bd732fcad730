"""Reads tables of Spinning Up's EpochLogger: `progress.txt` (tabs) and `config.json`."""

from __future__ import annotations

from collections.abc import Iterable

from sweeplens.readers.decoding.compression import plain_name
from sweeplens.readers.decoding.delimited.cells import header_of
from sweeplens.readers.decoding.delimited.table import ColumnPlan, TableReading, read_header, read_table
from sweeplens.readers.decoding.sidecars import config_files, in_hydra, read_config
from sweeplens.readers.decoding.values import as_step
from sweeplens.readers.protocol import Claim, Folder, Problem, Reading, Resume, RunRecord, Source

__all__ = ["SpinningUp"]

_PROGRESS = "progress.txt"
_LOGGERS = ("logger", "logger_kwargs")  # the logger's state and output folder: not settings of the run


class SpinningUp:
    """Tables of Spinning Up.

    Producer: OpenAI Spinning Up ``EpochLogger`` and the repositories that copied it
    Files: ``progress.txt`` (tabs, a header with ``Epoch``), ``config.json``
    Reads: every number at its epoch; the config; finished when all planned epochs are done; empty files as runs without points
    Leaves: settings of the logger object in the config; saved models
    """

    name = "spinup"
    version = 4

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims a folder with the logger's table, or with an empty one beside its config."""
        for name in (n for n in folder.free(_PROGRESS) if plain_name(n) == _PROGRESS):
            header = header_of(folder.head(name), "\t")
            started = not folder.files[name].size and b'"exp_name"' in folder.head("config.json")
            if started or (header and "Epoch" in header.names):
                yield Claim((name, *config_files(folder)))

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads the new rows: the logger appends, and its first row fixes the header."""
        main = source.files[0].path
        header = read_header(main, "\t")
        table = (
            read_table(main, header, ColumnPlan(axis="Epoch", is_cut_short=True), source.relative, resume)
            if header
            else TableReading()
        )
        side = read_config(source.files[1:], unwrap=False)
        config = {k: v for k, v in side.hyperparameters.items() if k not in _LOGGERS}
        planned = as_step(config.get("epochs"))
        record = RunRecord(
            source.relative,
            group=str(config.get("exp_name") or ""),
            status="finished" if planned and table.rows >= planned else "",
            hyperparameters=config,
            non_scalar=table.non_scalar,
        )
        broken = (Problem(path, reason) for path, reason in side.problems)
        return Reading((in_hydra(source, record),), table.points, (*table.problems, *broken), table.resume)
