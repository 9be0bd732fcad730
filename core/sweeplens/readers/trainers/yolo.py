"""Reads Ultralytics YOLO runs: `results.csv` with `args.yaml` (v8 and later) or `opt.yaml` and `hyp.yaml` (v5)."""

from __future__ import annotations

from collections.abc import Iterable

from sweeplens.errors import FormatError
from sweeplens.readers.decoding.delimited.cells import header_of
from sweeplens.readers.decoding.delimited.table import ColumnPlan, TableReading, read_header, read_table
from sweeplens.readers.decoding.sidecars import read_config
from sweeplens.readers.decoding.values import as_step
from sweeplens.readers.protocol import Claim, Folder, Problem, Reading, Resume, RunRecord, Source

__all__ = ["Yolo"]

_ARGS = ("args.yaml", "opt.yaml")
_HYP = "hyp.yaml"
_AXIS = "epoch"


class Yolo:
    """Training tables of YOLO.

    Producer: Ultralytics YOLOv5, v8 and later, RT-DETR
    Files: ``results.csv`` (v5 pads its columns with blanks), ``args.yaml`` or ``opt.yaml`` and ``hyp.yaml``
    Reads: every number at its written epoch (v5 counts from 0, later ones from 1); arguments; finished at the last planned epoch
    Leaves: pictures, weights, TensorBoard files in the same folder
    """

    name = "yolo"
    version = 1

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims tables of epochs with losses and metrics under YOLO's names."""
        mine = [n for n in folder.free(".csv") if _is_results(folder.head(n))]
        config = tuple(n for n in (*_ARGS, _HYP) if n in folder.files)
        for name in mine:
            yield Claim((name, *config), is_folder=len(mine) == 1)

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads the new rows."""
        path = source.files[0].path
        header = read_header(path, ",")
        if header is None:
            raise FormatError(f"{path} has no header")
        table = read_table(path, header, ColumnPlan(axis=_AXIS), source.relative, resume)
        args = read_config(source.files, names=_ARGS, unwrap=False)
        hyp = read_config(source.files, names=(_HYP,), unwrap=False)
        hparams = dict(args.hyperparameters)
        if hyp.hyperparameters and not isinstance(hparams.get("hyp"), dict):
            hparams["hyp"] = hyp.hyperparameters
        record = RunRecord(
            source.relative,
            name=str(hparams.get("name") or ""),
            status=_status(table, hparams.get("epochs")),
            hyperparameters=hparams,
            non_scalar=table.non_scalar,
        )
        broken = (Problem(p, reason) for p, reason in (*args.problems, *hyp.problems))
        return Reading((record,), table.points, (*table.problems, *broken), table.resume)


def _is_results(head: bytes) -> bool:
    header = header_of(head, ",") if b"metrics/" in head else None
    if header is None or header.names[0] != _AXIS:
        return False
    return any(n.startswith("metrics/") for n in header.names) and any(n.startswith("train/") for n in header.names)


def _status(table: TableReading, planned: object) -> str:
    """Returns ``finished`` when all planned epochs are done; early stopping leaves no trace."""
    epochs = as_step(planned)
    return "finished" if epochs and table.rows and max(table.last_step, table.rows) >= epochs else ""
