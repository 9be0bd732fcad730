"""Reads a whole history from one JSON value: a list of rows, or lists of numbers, as `history.history` is dumped."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from operator import itemgetter
from pathlib import PurePath
from typing import Any, cast

import polars as pl
from msgspec.structs import replace

from sweeplens.errors import FormatError
from sweeplens.readers.decoding import compression
from sweeplens.readers.decoding.json_lines import decode
from sweeplens.readers.decoding.row_keys import AXES, CONFIG_KEYS, counter_of, is_sure
from sweeplens.readers.decoding.rows import RowReader
from sweeplens.readers.decoding.sidecars import SETTINGS_NAMES, config_files
from sweeplens.readers.decoding.values import as_number, as_step, joined_points, number_in
from sweeplens.readers.json.columns import read_row_columns
from sweeplens.readers.json.points import logged
from sweeplens.readers.json.steps import described_by, looks_like_steps
from sweeplens.readers.protocol import Claim, Folder, Reading, Resume, RunRecord, Source

__all__ = ["JsonHistory", "read_rows"]

_WORDS = frozenset({"history", "log", "logs", "loss", "losses", "training", "train", "learning", "curve", "curves", "metrics",
                    "metric", "results", "scores", "stats", "statistics", "progress", "evals"})  # fmt: skip
_INNER = ("history", "epochs", "log", "logs", "log_history", "training_log", "train_log", "training_history")
_ROWS_INSIDE = re.compile(rb'"(?:%s)"\s*:\s*\[\s*\{' % b"|".join(n.encode() for n in _INNER))
_LISTS = re.compile(rb'^\{\s*"[^"\\]+"\s*:\s*(?:\{\s*"[^"\\]+"\s*:\s*)?\[\s*(?:-?\d|NaN|-?Infinity|null)')
_FRAME = re.compile(  # what pandas' to_json writes: by columns, by rows, split; rows by epoch
    rb'^\{\s*(?:"[^"\\]+"\s*:\s*\{\s*"\d+"\s*:\s*(?:-?\d|null)|"columns"\s*:\s*\[\s*"'
    rb'|"(?:[a-z]{4,9}[ _-]?)?\d+"\s*:\s*\{\s*"[^"\\]+"\s*:\s*(?:-?\d|null|"))'
)
_DEEP_WORDS = frozenset({"statistics", "stats", "history", "curves", "losses"})
_DEEP_LISTS = re.compile(
    rb'"\s*:\s*\{\s*"[^"\\]+"\s*:\s*\[\s*(?:-?\d|NaN|-?Infinity|null)'
)  # Ludwig: split, output, metric
_NUMBERED = re.compile(r"((?:epoch|step|iter|iteration|round)[ _-]?)?(\d+)", re.IGNORECASE)
_OF_A_RUN = re.compile(  # a setting or a name, in rows of a table of runs
    r"(?i)(?:.*[._/])?(?:seed|run|run_?name|run_?id|batch_?size|bs|weight_?decay|wd|dropout|optimi[sz]er|model|method|variant|fold|trial)"
)
_BOM = b"\xef\xbb\xbf"
_BEYOND_JSON = re.compile(rb"NaN|Infinity")
_BARE = ("log", "history", "metrics", "results")  # Chainer's LogReport writes ``log``
_MOST = 20
_Row = dict[str, Any]


class JsonHistory:
    """Histories that are one JSON value.

    Producer: ``json.dump(history, ...)``: Keras' ``history.history``, lists of epochs, pandas ``to_json`` in any orientation
    Files: ``*.json`` with a list of rows that have an axis, or with such a list under ``history``, ``epochs``, ``log`` ...; files named like a history (``history``, ``*_log``, ``losses`` ...) with lists of numbers; a config file beside it
    Reads: rows as in ``json_steps``; lists at the steps of a list that is an axis, else at their index; nested names joined with ``.``; a configuration in the same file
    Leaves: lists of other values, which are counted by name; lists of one row a run, which SQL reads as tables
    """  # noqa: E501 - a line of docs/formats.md each

    name = "json_history"
    version = 6

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims files whose first bytes are those of a history."""
        names = [n for n in folder.free(".json", ".log", ".txt", *_BARE) if n not in SETTINGS_NAMES]
        mine = [n for n in names if _is_history(n, folder.head(n))]
        config = config_files(folder) if mine else ()
        for name in mine:
            yield Claim((name, *config), is_folder=len(mine) == 1)

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads the whole file: its writer replaces it each time."""
        path = source.files[0].path
        data = compression.read_plain(path).removeprefix(_BOM)
        try:
            value = _unframed(decode(data))
        except ValueError as error:
            raise FormatError(f"{path} is not complete JSON: {error}") from error
        record, rows = _rows_of(value, RunRecord(source.relative))
        records, points = read_rows(source, rows, exact=not _BEYOND_JSON.search(data))
        known = next(iter(records), record)
        record = replace(known, hyperparameters={**record.hyperparameters, **known.hyperparameters})
        runs, problems = described_by(source, [record, *records[1:]])
        return Reading(runs, points, problems)


def _rows_of(value: object, record: RunRecord) -> tuple[RunRecord, list[Any]]:
    """Returns the record with the hyperparameters that a history holds, and its rows."""
    if isinstance(value, list):
        return record, cast("list[Any]", value)
    if not isinstance(value, dict):
        return record, []
    whole = cast("_Row", value)
    inner = next((k for k in _INNER if _are_rows(whole.get(k))), "")
    record = replace(record, hyperparameters=_config(whole))
    return record, cast("list[Any]", whole[inner]) if inner else list(_transposed(whole, record))


def read_rows(source: Source, rows: list[Any], *, exact: bool) -> tuple[list[RunRecord], pl.DataFrame]:
    """Returns the records and points of rows, read as columns where these are the same.

    ``exact``: every number can be written as JSON.
    """
    columns = read_row_columns(rows, source.files[0].path) if exact else None
    if columns:
        member, first, last = columns.members[0], columns.firsts[0], columns.lasts[0]
        record = RunRecord(source.relative, created_at=first, updated_at=last, non_scalar=member.non_scalar)
        return [record], logged(columns, [source.relative])
    reader = RowReader(source.relative)
    for row in rows:
        reader.add(cast("_Row", row) if isinstance(row, dict) else {"value": row})
    return reader.records(), joined_points([reader.frame()])


def _is_history(name: str, head: bytes) -> bool:
    text = head.removeprefix(_BOM).lstrip()
    words = re.split(r"[^a-z]+", PurePath(compression.plain_name(name)).stem.lower())
    named = not _WORDS.isdisjoint(words)
    if text.startswith(b"["):
        rows = _first_rows(text[1:])
        plain = named and len(rows) > 1 and all(map(_numbers_only, rows)) and not _are_runs(rows)
        return _is_log(rows, named=named) or plain
    if not text.startswith(b"{"):
        return False
    inside = _ROWS_INSIDE.search(text)
    if inside:
        return _is_log(_first_rows(text[inside.end() - 1 :]), named=True)
    deep = not _DEEP_WORDS.isdisjoint(words) and _DEEP_LISTS.search(text) is not None
    return named and (deep or _LISTS.match(text) is not None or _FRAME.match(text) is not None)


def _first_rows(text: bytes) -> list[_Row]:
    """Returns the complete objects at the beginning of a list."""
    rest, found = text.decode("utf-8", "ignore"), list[_Row]()
    decoder = json.JSONDecoder()
    at = 0
    while len(found) < _MOST and (begin := rest.find("{", at)) >= 0 and not rest[at:begin].strip(", \r\n\t"):
        try:
            value, at = decoder.raw_decode(rest, begin)
        except (ValueError, RecursionError):
            break
        found.append(cast("_Row", value))
    return found


def _is_log(rows: Sequence[_Row], *, named: bool) -> bool:
    """Whether rows have an axis that goes forward, and more numbers than text. Data sets are lists of objects too.

    ``named``: the file is named like a log, so its axis may restart or be a fraction. All rows together decide.
    """
    if named and len(rows) > 1 and looks_like_steps(list(rows)) and not _are_runs(rows):
        values = [v for r in rows for v in r.values()]
        return 2 * sum(number_in(v) is not None or isinstance(v, dict) for v in values) > len(values)
    axes = {counter_of(r) for r in rows}
    if not rows or len(axes) != 1 or "" in axes or not is_sure(next(iter(axes))):
        return False
    axis = axes.pop()
    steps = [cast("int", as_step(r[axis])) for r in rows]
    back = sum(later < earlier for earlier, later in pairwise(steps))
    values = [v for r in rows for k, v in r.items() if k != axis]
    numbers = sum(number_in(v) is not None or isinstance(v, dict) for v in values)
    return 3 * back <= len(steps) and 2 * numbers > len(values) and len(set(steps)) * 2 > len(steps)


def _are_runs(rows: Sequence[_Row]) -> bool:
    """Whether rows without an axis are one a run: each has a seed, or another setting that no loop changes."""
    return not any(map(counter_of, rows)) and all(any(_OF_A_RUN.fullmatch(key) for key in row) for row in rows)


def _numbers_only(row: _Row) -> bool:
    return bool(row) and all(as_number(v) is not None for v in row.values())


def _are_rows(value: object) -> bool:
    rows = cast("list[Any]", value) if isinstance(value, list) else []
    return bool(rows) and isinstance(rows[0], dict)


def _unframed(value: object) -> object:
    """Returns a table that pandas wrote as a list of rows or as lists by name; any other value unchanged."""
    if not isinstance(value, dict):
        return value
    whole = cast("_Row", value)
    if isinstance(whole.get("columns"), list) and isinstance(whole.get("data"), list):
        names, data = cast("list[str]", whole["columns"]), cast("list[object]", whole["data"])
        return [dict(zip(names, cast("list[object]", row), strict=False)) for row in data if isinstance(row, list)]
    if not whole or not all(isinstance(v, dict) for v in whole.values()):
        return whole
    if numbers := [int(m[2]) for key in whole if (m := _NUMBERED.fullmatch(key))]:
        if len(numbers) < len(whole):
            return whole
        word = next(iter(whole)).rstrip("0123456789 _-").lower()
        ordered = sorted(zip(numbers, whole.values(), strict=True), key=itemgetter(0))
        return [cast("_Row", row) | ({word: number} if word and not counter_of(row) else {}) for number, row in ordered]
    columns = cast("dict[str, dict[str, Any]]", whole)
    if all(column and all(key.isdigit() for key in column) for column in columns.values()):
        return {name: [column[key] for key in sorted(column, key=int)] for name, column in columns.items()}
    return whole


def _config(whole: _Row) -> Mapping[str, object]:
    found = next((whole[k] for k in CONFIG_KEYS if isinstance(whole.get(k), dict)), None)
    return cast("_Row", found) if found else {}


def _transposed(whole: _Row, record: RunRecord) -> Iterable[_Row]:
    """Yields lists of equal meaning by index as rows; a list that is an axis gives the steps."""
    lists = dict(_lists("", {k: v for k, v in whole.items() if v is not record.hyperparameters}))
    for index in range(max(map(len, lists.values()), default=0)):
        row = {name: values[index] for name, values in lists.items() if index < len(values)}
        yield row if counter_of(row) else {AXES[0]: index, **row}


def _lists(prefix: str, values: Mapping[str, Any]) -> Iterable[tuple[str, list[Any]]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _lists(f"{prefix}{key}.", cast("_Row", value))
        elif isinstance(value, list):
            yield prefix + key, cast("list[Any]", value)
