"""Builds the runs frame from run records: one column per hyperparameter, with a type that fits its values in all runs.

Booleans, integers and numbers keep their type if all runs agree. Text that is a number in every run becomes numbers
(MLflow and Optuna write text only). Any other mix becomes text, and text becomes a categorical. A hyperparameter
that a run lacks is null. One whose value is None is null and listed in ``null_hparams``.

Of too many columns, those of most runs are kept; ``LEFT_OUT`` counts the values of each run that are not.

`with_status` decides the status of a run whose log has none.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

import polars as pl
from msgspec import Struct

from sweeplens import source_limits
from sweeplens.frames.schemas import ENDED_WITH, FROM, RUN_COLUMNS, WARNINGS
from sweeplens.models import flatten
from sweeplens.plain_data import plain_text
from sweeplens.readers.protocol import RunRecord, Source
from sweeplens.readers.text.warning_lines import joined_warnings

__all__ = [
    "LEFT_OUT",
    "TIMES_OF_FILES",
    "RunRow",
    "column_name",
    "row_of",
    "runs_frame",
    "typed_column",
    "unique_ids",
    "with_status",
]

TIMES_OF_FILES = ("touched_at", "grew_at")
"""Columns that only the store's frame has: the newest change of a run's files, and the last time that a program wrote them."""
LEFT_OUT = "metadata.left_out"
_LEAST_COLUMNS = 1000
_NUMBER = re.compile(r"[-+]?(0|[1-9]\d*)?(\.\d+)?(?<=\d)\.?([eE][-+]?\d+)?")
_INT64 = 1 << 63


class RunRow(Struct, frozen=True):
    """One run as the store keeps it: fixed columns by name, flat hyperparameters, flat metadata."""

    fixed: Mapping[str, Any]
    hyperparameters: Mapping[str, Any]
    metadata: Mapping[str, Any]


def row_of(
    record: RunRecord,
    source: Source,
    run_id: str,
    n_steps: int,
    *,
    ended: str = "",
    grows: bool = False,
    warnings: Sequence[str] | None = None,
) -> RunRow:
    """Returns a record's row under its unique id, with the path, format and newest change of its source.

    ``ended``: the status that files beside the source tell, and after a line break their words for a bad end. ``grows``:
    whether a program was seen to write it. ``warnings``: in printed logs beside the source; None if there is none.
    """
    newest = max((f.mtime_ns for f in source.files), default=0)
    touched = datetime.fromtimestamp(newest / 1e9, UTC)
    flat = flatten(record.hyperparameters)
    metadata = flatten(record.metadata)
    told, _, words = ended.partition("\n")
    if words:
        metadata.setdefault(ENDED_WITH, words)
    if warnings is not None:
        own = cast("list[str]", metadata.get(WARNINGS, ())) if source.reader == "text_logs" else ()
        metadata[WARNINGS] = list(joined_warnings(own, warnings))
    if record.non_scalar:
        metadata["non_scalar"] = dict(sorted(record.non_scalar.items()))  # readers count in different orders
    if source.copies:
        metadata["also_in"] = [plain_text(os.path.relpath(c, source.root)) for c in source.copies]
    fixed = {
        "run_id": run_id,
        "name": record.name or record.id,
        "group": record.group,
        "status": record.status or told,
        "created_at": record.created_at,
        "updated_at": record.updated_at or touched,
        "n_steps": n_steps,
        "source": plain_text(source.path),
        "format": source.reader,
        "parent": record.parent,
        "tags": list(record.tags),
        "null_hparams": [column_name(k) for k, v in flat.items() if v is None],
        "touched_at": touched,
        "grew_at": touched if grows else record.updated_at and min(record.updated_at, touched),
    }
    return RunRow(
        fixed, {column_name(k): v for k, v in flat.items()}, {f"metadata.{k}": v for k, v in metadata.items()}
    )


def runs_frame(rows: Sequence[RunRow]) -> pl.DataFrame:
    """Returns the runs frame; `with_status` needs ``touched_at`` (newest change of the files) and ``grew_at``."""
    schema = {**RUN_COLUMNS, **dict.fromkeys(TIMES_OF_FILES, RUN_COLUMNS["updated_at"])}
    fixed = {name: pl.Series(name, [r.fixed[name] for r in rows], dtype=dtype) for name, dtype in schema.items()}
    names = _most_common([r.hyperparameters for r in rows])
    extra = _most_common([r.metadata for r in rows])
    columns = [
        *fixed.values(),
        *(typed_column(n, [r.hyperparameters.get(n) for r in rows]) for n in names),
        *(typed_column(n, [r.metadata.get(n) for r in rows], categorical=False) for n in extra),
    ]
    left_out = [len(r.hyperparameters.keys() - names) + len(r.metadata.keys() - extra) for r in rows]
    columns += [pl.Series(LEFT_OUT, left_out, dtype=pl.Int64)] if any(left_out) else []
    return pl.DataFrame(columns).sort("run_id")


def _most_common(values: Sequence[Mapping[str, object]]) -> dict[str, None]:
    """Returns the names of the values of all runs in order; of too many, those that most runs have."""
    names = dict.fromkeys(name for of_run in values for name in of_run)
    most = min(source_limits.MAX_COLUMNS, max(_LEAST_COLUMNS, source_limits.MAX_CELLS // max(1, len(values))))
    if len(names) <= most:
        return names
    counts = Counter(name for of_run in values for name in of_run)
    kept = {name for name, _ in counts.most_common(most)}
    return dict.fromkeys(name for name in names if name in kept)


def with_status(runs: pl.DataFrame, *, now: datetime, live_seconds: float) -> pl.DataFrame:
    """Fills in a missing status: ``running`` if a program wrote the files in the last ``live_seconds``, else ``unknown``.

    That a file is new is no evidence that a program writes it: it may be a copy. Evidence is that it was written to after
    it was put into its folder, or a time in the log itself.
    """
    fresh = (pl.lit(now) - pl.col("grew_at")).dt.total_seconds() <= live_seconds
    guess = pl.when(fresh.fill_null(value=False)).then(pl.lit("running")).otherwise(pl.lit("unknown"))
    status = pl.when(pl.col("status") == "").then(guess).otherwise(pl.col("status"))
    return runs.with_columns(status.alias("status")).drop(TIMES_OF_FILES)


def typed_column(name: str, values: Sequence[object], *, categorical: bool = True) -> pl.Series:
    """Returns a column of the narrowest type that holds every value unchanged."""
    known = [v for v in values if v is not None]
    kinds = {type(v) for v in known}
    for accepts, convert, dtype in _TYPES:
        if known and accepts(kinds, known):
            return pl.Series(name, [None if v is None else convert(v) for v in values], dtype=dtype)
    text = pl.Series(name, [None if v is None else _text(v) for v in values], dtype=pl.String)
    return text.cast(pl.Categorical) if categorical else text


def unique_ids(wanted: Sequence[tuple[str, str]]) -> list[str]:
    """Returns ids for (id, absolute path). Equal ids get the shortest path suffix that makes them unique."""
    by_id: dict[str, list[int]] = {}
    for index, (run_id, _) in enumerate(wanted):
        by_id.setdefault(run_id, []).append(index)
    given = [run_id for run_id, _ in wanted]
    for run_id, indexes in by_id.items():
        if len(indexes) > 1:
            for index, suffix in zip(indexes, _suffixes([wanted[i][1] for i in indexes]), strict=True):
                given[index] = f"{run_id}@{suffix}"
    return given


def _suffixes(paths: Sequence[str]) -> list[str]:
    parts = [p.replace("\\", "/").strip("/").split("/") for p in paths]
    for length in range(1, max(map(len, parts)) + 1):
        short = ["/".join(p[-length:]) for p in parts]
        if len(set(short)) == len(short):
            return short
    return [f"{'/'.join(p[-1:])}#{i + 1}" for i, p in enumerate(parts)]


def column_name(hparam: str, taken: Container[str] = frozenset({*RUN_COLUMNS, *TIMES_OF_FILES})) -> str:
    """Returns the column of a hyperparameter, with a prefix if its name is a fixed column or looks like a pattern of columns."""
    ours = hparam in taken or hparam.startswith(("metadata.", FROM))
    pattern = hparam == "*" or (hparam.startswith("^") and hparam.endswith("$"))
    return f"hparam.{hparam}" if ours or pattern else hparam


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _reads_as_numbers(kinds: set[type], known: Sequence[object]) -> bool:
    return (
        kinds <= {str, int, float}
        and str in kinds
        and all(not isinstance(v, str) or (v and _NUMBER.fullmatch(v)) for v in known)
    )


def _whole(kinds: set[type], known: Sequence[object]) -> bool:
    return kinds == {int} and all(-_INT64 <= v < _INT64 for v in known if isinstance(v, int))


def _whole_text(kinds: set[type], known: Sequence[object]) -> bool:
    return (
        kinds <= {str, int}
        and _reads_as_numbers(kinds, known)
        and all(re.fullmatch(r"[-+]?\d{1,18}", str(v)) for v in known)
    )


_TYPES: tuple[tuple[Callable[[set[type], Sequence[object]], bool], Callable[[Any], Any], Any], ...] = (
    (lambda kinds, known: kinds == {bool}, bool, pl.Boolean),
    (_whole, int, pl.Int64),
    (lambda kinds, known: kinds <= {int, float}, float, pl.Float64),
    (lambda kinds, known: kinds == {str} and set(known) <= {"True", "False"}, lambda v: v == "True", pl.Boolean),
    (_whole_text, int, pl.Int64),
    (_reads_as_numbers, float, pl.Float64),
)
