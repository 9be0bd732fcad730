"""Reads a history of one JSON object a file: ``metrics_epoch_0.json``, ``metrics_epoch_1.json`` ... are the rows of one run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, cast

from sweeplens.readers.decoding import compression
from sweeplens.readers.decoding.json_lines import decode
from sweeplens.readers.decoding.row_keys import counter_of
from sweeplens.readers.decoding.sidecars import config_files
from sweeplens.readers.decoding.values import number_in
from sweeplens.readers.json.history import read_rows
from sweeplens.readers.json.steps import described_by
from sweeplens.readers.protocol import Claim, Folder, Problem, Reading, Resume, Source

__all__ = ["JsonEpochFiles"]

_NAME = re.compile(r"(.*?(epoch|step|iter|iteration|round)[_-]?)(\d+)\.json", re.IGNORECASE)
_SUMMARY = "metrics.json"
_Row = dict[str, Any]


class JsonEpochFiles:
    """One file for each epoch or step.

    Producer: AllenNLP, hand-written loops
    Files: two or more ``<name>epoch_<n>.json``, ``<name>step_<n>.json`` in one folder, each an object of numbers; ``metrics.json`` and a config file beside them
    Reads: every number at the epoch or step in the file, else in its name; nested names joined with ``.``; values that only ``metrics.json`` has at the last one
    Leaves: text and lists, which are counted by name
    """  # noqa: E501 - a line of docs/formats.md each

    name = "json_epoch_files"
    version = 1

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims each series of files; it is the run of the folder where there is only one."""
        series: dict[str, list[str]] = {}
        for name in folder.free(".json"):
            if (found := _NAME.fullmatch(name)) and _is_row(folder.head(name)):
                series.setdefault(found[1], []).append(name)
        several = {k: sorted(v, key=_number) for k, v in series.items() if len(v) > 1}
        summary = (_SUMMARY,) if len(several) == 1 and _is_row(folder.head(_SUMMARY)) else ()
        for names in several.values():
            yield Claim((*names, *summary, *config_files(folder)), is_folder=len(several) == 1)

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads all files."""
        rows: list[_Row] = []
        problems: list[Problem] = []
        last: _Row = {}
        for entry in source.files:
            name = entry.path.replace("\\", "/").rsplit("/", 1)[-1]
            found = _NAME.fullmatch(name)
            row = _load(entry.path, problems) if found or name == _SUMMARY else {}
            if found and row:
                rows.append(row if counter_of(row) else {found[2].lower(): _number(name), **row})
            elif name == _SUMMARY:
                last = row
        rows.sort(key=lambda row: number_in(row[counter_of(row)]) or 0)
        if rows:
            rows[-1] = {**{k: v for k, v in last.items() if all(k not in row for row in rows)}, **rows[-1]}
        records, points = read_rows(source, rows, exact=True)
        runs, broken = described_by(source, records)
        return Reading(runs, points, (*problems, *broken))


def _number(name: str) -> int:
    found = _NAME.fullmatch(name)
    return int(found[3]) if found else 0


def _load(path: str, problems: list[Problem]) -> _Row:
    try:
        value = decode(compression.read_plain(path))
    except ValueError as error:
        problems.append(Problem(path, f"not complete JSON: {error}", kind="torn"))
        return {}
    return cast("_Row", value) if isinstance(value, dict) else {}


def _is_row(head: bytes) -> bool:
    """Whether a file is an object that holds mostly numbers."""
    try:
        value: object = json.loads(head)
    except (ValueError, RecursionError):
        return False  # longer than a head: no row of one epoch
    row = cast("_Row", value) if isinstance(value, dict) else {}
    numbers = sum(number_in(v) is not None or isinstance(v, dict) for v in row.values())
    return bool(row) and 2 * numbers > len(row)
