"""Reads CatBoost's `train_dir`: one training, with a table of errors for each data set."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

from sweeplens.readers.decoding import compression
from sweeplens.readers.decoding.json_lines import decode
from sweeplens.readers.decoding.sidecars import config_files
from sweeplens.readers.decoding.values import PointBuffer, as_number, as_step
from sweeplens.readers.json.steps import described_by
from sweeplens.readers.protocol import Claim, FileStat, Folder, Problem, Reading, Resume, RunRecord, Source

__all__ = ["CatBoost"]

_TABLE = re.compile(r"(\w+)_error\.tsv|time_left\.tsv")
_SET = re.compile(r"(?:learn|test)\d*")
_NUMBERED = re.compile(r"(.+):(\d+)")
_ABOUT = "catboost_training.json"
_META = re.compile(rb'"meta"\s*:\s*(\{.*?\})\s*,\s*"iterations"', re.DOTALL)
_GOALS = {"Min": "lower", "Max": "higher"}


class CatBoost:
    """Training folders of CatBoost, with any number of data sets.

    Producer: CatBoost (``train_dir``, by default ``catboost_info/``)
    Files: ``learn_error.tsv``, ``test_error.tsv``, ``time_left.tsv``, ``catboost_training.json``
    Reads: every metric of every set at its iteration, as ``learn/Logloss``, ``test/Logloss``, ``test1/Logloss``; whether lower or higher is better
    Leaves: the event files in ``learn/`` and ``test/``, which repeat the tables; snapshots of the model
    """  # noqa: E501 - a line of docs/formats.md each

    name = "catboost"
    version = 2

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims a folder with tables of errors."""
        tables = [n for n in folder.free(".tsv") if _TABLE.fullmatch(n) and folder.head(n).startswith(b"iter\t")]
        if not any(n.endswith("_error.tsv") for n in tables):
            return
        sets = tuple(n for n in folder.folders if _SET.fullmatch(n))
        copies = tuple(f"{n}/{path}" for n in sets for path, _ in folder.folders[n].tree() if "tfevents" in path)
        about = (_ABOUT,) if _ABOUT in folder.files else ()
        yield Claim((*tables, *about, *config_files(folder)), copies=copies, owns=sets)

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads every table whole: they are small."""
        points, problems, about = PointBuffer(), list[Problem](), dict[str, object]()
        for entry in source.files:
            name = entry.path.replace("\\", "/").rsplit("/", 1)[-1]
            table = _TABLE.fullmatch(name)
            if table:
                _read_table(entry, source.relative, table[1] or "time", points, problems)
            elif name == _ABOUT:
                about = _about(entry)
        records, broken = described_by(source, [RunRecord(source.relative, metadata=about)])
        return Reading(records, points.frame(), (*problems, *broken))


def _read_table(entry: FileStat, run: str, of: str, points: PointBuffer, problems: list[Problem]) -> None:
    """Adds the rows of one table. A row that does not fit the header is a problem; the last one is ``torn``."""
    lines = compression.read_plain(entry.path).decode("utf-8", "replace").split("\n")
    names = _named(of, lines[0].rstrip("\r").split("\t"))
    for number, line in enumerate(lines[1:], 2):
        if not line.strip():
            continue
        cells = line.rstrip("\r").split("\t")
        step, values = as_step(_number(cells[0])), [_number(c) for c in cells[1:]]
        if step is None or len(cells) != len(names) or number == len(lines):
            kind = "torn" if number == len(lines) else "malformed"
            problems.append(Problem(entry.path, "a row that is not complete", number, kind=kind, excerpt=line[:80]))
            continue
        for name, value in zip(names[1:], values, strict=True):
            if value is not None:
                points.add(run, name, step, value)


def _named(of: str, columns: list[str]) -> list[str]:
    """Returns the names of the columns with their set: of several test sets, ``AUC:0`` is ``test/AUC``, and a column without
    a number is of the last set, ``test1/AUC``."""
    numbers = {c: int(m[2]) for c in columns if (m := _NUMBERED.fullmatch(c)) and m[1] in columns}
    last = max(numbers.values(), default=-1) + 1
    places = [(c.rsplit(":", 1)[0], numbers[c]) if c in numbers else (c, last) for c in columns]
    return [f"{of}{k or ''}/{name}" for name, k in places]


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return as_number(cell)


def _about(entry: FileStat) -> dict[str, object]:
    """Returns the planned iterations and the goals of the metrics. The file is incomplete during training."""
    found = _META.search(compression.read_plain(entry.path))
    try:
        meta: Mapping[str, Any] = cast("Mapping[str, Any]", decode(found[1])) if found else dict[str, Any]()
    except ValueError:
        return {}
    goals = {
        f"{name}/{metric['name']}": _GOALS[metric["best_value"]]
        for kind in ("learn", "test")
        for name in meta.get(f"{kind}_sets", ())
        for metric in meta.get(f"{kind}_metrics", ())
        if metric.get("best_value") in _GOALS
    }
    planned = {"iteration_count": meta["iteration_count"]} if "iteration_count" in meta else {}
    return {**planned, **({"goals": goals} if goals else {})}
