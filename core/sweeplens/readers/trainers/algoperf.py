"""Reads MLCommons AlgoPerf trials: `eval_measurements.csv` and `hparams.json` in a trial's folder."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sweeplens.readers.decoding.delimited.cells import TableHeader, header_of
from sweeplens.readers.decoding.delimited.table import ColumnPlan, TableReading, read_header, read_table
from sweeplens.readers.decoding.sidecars import read_config
from sweeplens.readers.decoding.values import joined_points
from sweeplens.readers.protocol import Claim, Folder, Problem, Reading, Resume, RunRecord, Source

__all__ = ["AlgoPerf"]

_EVALS, _ALL, _HPARAMS = "eval_measurements.csv", "measurements.csv", "hparams.json"
_SIDE = (_HPARAMS, "flags_0.json", "meta_data_0.json")
_FLAGS = (
    "workload",
    "framework",
    "submission_path",
    "tuning_ruleset",
    "rng_seed",
    "experiment_name",
    "num_tuning_trials",
)
_EMPTY_EVENTS = 100  # bytes of an event file before its first value; a larger file may be the only record of a trial
_AXIS, _MARK = "global_step", "accumulated_submission_time"


class AlgoPerf:
    """Trial folders of AlgoPerf.

    Producer: MLCommons AlgoPerf ``submission_runner``
    Files: ``eval_measurements.csv``, ``measurements.csv``, ``hparams.json``, ``flags_0.json``, ``meta_data_0.json``
    Reads: every evaluation at its ``global_step``; columns that only ``measurements.csv`` has; trials that have no rows yet
    Leaves: rows of ``measurements.csv`` that repeat an evaluation, TensorBoard files, which repeat them again; machine counters
    """

    name = "algoperf"
    version = 1

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims a trial with measurements, or one that was only set up."""
        tables = [n for n in (_EVALS, _ALL) if n in folder.files and n not in folder.taken and _is_measured(folder, n)]
        if tables or _is_set_up(folder):
            yield Claim((*tables, *(n for n in _SIDE if n in folder.files)))

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads both tables whole: the runner replaces them."""
        tables: list[TableReading] = []
        seen: frozenset[str] = frozenset()
        for name in (_EVALS, _ALL):
            header = read_header(entry.path, ",") if (entry := source.file(name)) else None
            if entry is None or header is None:
                continue
            tables.append(read_table(entry.path, header, ColumnPlan(axis=_AXIS, leave=seen), source.relative))
            seen |= frozenset(header.names)
        hparams = read_config(source.files, names=(_HPARAMS,), unwrap=False)
        about = read_config(source.files, names=_SIDE[1:], unwrap=False)
        record = RunRecord(
            source.relative,
            group=source.relative.rpartition("/")[0],
            hyperparameters=hparams.hyperparameters,
            metadata=_metadata(about.hyperparameters),
            non_scalar={k: n for t in tables for k, n in t.non_scalar.items()},
        )
        problems = [p for t in tables for p in t.problems]
        broken = [Problem(path, reason) for path, reason in (*hparams.problems, *about.problems)]
        return Reading((record,), joined_points(t.points for t in tables), (*problems, *broken))


def _is_measured(folder: Folder, name: str) -> bool:
    header: TableHeader | None = header_of(folder.head(name), ",")
    return header is not None and _AXIS in header.names and _MARK in header.names


def _is_set_up(folder: Folder) -> bool:
    """Whether a folder holds a trial's hyperparameters, and it or a sibling has other files of the runner."""
    events = any("tfevents" in n and f.size > _EMPTY_EVENTS for n, f in folder.files.items())
    if events or _HPARAMS not in folder.files or _HPARAMS in folder.taken:
        return False
    if "flags_0.json" in folder.files and "meta_data_0.json" in folder.files:
        return True
    parent = folder.child("..")
    siblings = parent.folders if parent and folder.name.startswith("trial_") else ()
    return any(folder.find(f"../{s}/{_EVALS}") for s in siblings)


def _metadata(about: dict[str, object]) -> dict[str, Any]:
    """Returns the flags that identify the submission and the workload, out of about 150."""
    workload = {k: v for k, v in about.items() if k.startswith("workload.")}
    return {**{k: about[k] for k in _FLAGS if about.get(k) is not None}, **workload}
