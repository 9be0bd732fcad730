"""Reads what a run's own script wrote down about it beside its log: ``result.json``, ``eval_test.json``, ``run_info.json``, a CSV of one row.

The single values of such a file are metadata of the run, under the file's name: ``metadata.result.test_acc``. Its scores and costs
are metrics too (`sources.run_scores`). Which files belong to a run is decided as for signs of its end (`sources.signs`).
"""  # noqa: E501 - the summary

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import PurePath
from typing import cast

from msgspec.structs import replace

from sweeplens.plain_data import plain_mapping
from sweeplens.readers.boundary import Failure, guarded
from sweeplens.readers.decoding import compression
from sweeplens.readers.decoding.delimited.cells import absent, cell_number, header_of, records
from sweeplens.readers.decoding.fact_names import is_facts
from sweeplens.readers.protocol import FileStat, Reading, Source

__all__ = ["Facts", "fact_files", "facts_of", "joined", "with_facts"]

Facts = Mapping[str, Mapping[str, object]]
"""Stem of a file -> its values, nested as in the file."""

_MOST_BYTES = 1 << 16
_MOST_VALUES = 200
_MOST_CHARACTERS = 300  # of a text; a longer one is no fact


def fact_files(source: Source) -> tuple[FileStat, ...]:
    """Returns the files beside a source that hold facts about its run."""
    return tuple(s for s in source.signs if is_facts(_name(s)))


def facts_of(source: Source) -> Facts:
    """Returns what those files say; the second of two with one stem has its folder before it.

    They are plain data, whose depth is limited. A file that cannot be read says nothing.
    """
    found: dict[str, dict[str, object]] = {}
    for file in fact_files(source):
        facts = guarded(partial(_plain_facts_in, file), file.path, "cannot be read")
        if not isinstance(facts, Failure) and facts:
            path = PurePath(file.path.replace("\\", "/"))
            found[f"{path.parent.name}.{path.stem}" if path.stem in found else path.stem] = facts
    return found


def with_facts(reading: Reading, facts: Facts) -> Reading:
    """Returns the reading of one run with facts as metadata."""
    if not facts or len(reading.runs) != 1:
        return reading
    (record,) = reading.runs
    own = cast("Facts", {k: v for k, v in record.metadata.items() if k in facts and isinstance(v, Mapping)})
    facts = joined(facts, own)
    return replace(reading, runs=(replace(record, metadata={**record.metadata, **plain_mapping(facts)}),))


def joined(facts: Facts, own: Facts) -> Facts:
    """Returns facts of files with those of the log; of one name, those of the file count."""
    return {**own, **{name: {**own.get(name, {}), **values} for name, values in facts.items()}}


def _name(file: FileStat) -> str:
    return file.path.replace("\\", "/").rsplit("/", 1)[-1]


def _plain_facts_in(file: FileStat) -> dict[str, object]:
    return plain_mapping(_facts_in(file))


def _facts_in(file: FileStat) -> dict[str, object]:
    """Returns the single values of an object or of the only row; nothing of a file that is large or holds something else."""
    if file.size > _MOST_BYTES:
        return {}
    data = compression.head(file.path, _MOST_BYTES)
    if not file.path.lower().endswith(".json"):
        return _only_row(data)
    try:
        value: object = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    if isinstance(value, list) and len(cast("list[object]", value)) == 1:
        (value,) = cast("list[object]", value)
    return _single_values(cast("dict[str, object]", value)) if isinstance(value, dict) else {}


def _only_row(data: bytes) -> dict[str, object]:
    """Returns the cells of a table with one row by column; numbers where they are."""
    header = header_of(data)
    if header is None:
        return {}
    rows = [r for _, r in zip(range(2), records(data[header.start :], header.separator, 1), strict=False)]
    if len(rows) != 1 or len(rows[0].cells) != len(header.names):
        return {}
    cells = {n: c.strip() for n, c in zip(header.names, rows[0].cells, strict=True) if n and not absent(c.strip())}
    numbers = {n: cell_number(c, header.separator) for n, c in cells.items()}
    return _single_values({n: c if (number := numbers[n]) is None else number for n, c in cells.items()})


def _single_values(values: Mapping[str, object]) -> dict[str, object]:
    """Returns numbers and short texts, those of inner objects too; lists are no facts."""
    kept: dict[str, object] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            inner = _single_values(cast("dict[str, object]", value))
            kept |= {key: inner} if inner else {}
        elif isinstance(value, int | float | bool) or (isinstance(value, str) and len(value) <= _MOST_CHARACTERS):
            kept[key] = value
        if len(kept) >= _MOST_VALUES:
            break
    return kept
