"""Names of runs that people know: the display names of W&B, MLflow and others, beside the ids.

display_names(runs)      -> run id -> name, for runs whose name is not their id and is that of no other run
ids_matching(runs, ...)  -> the ids of the runs that ids, globs or display names select
run_named(runs, name)    -> the id of one run, by its id or its display name
with_names(table, runs)  -> a table with run ids, and a column ``name`` beside them where runs have display names
"""

from __future__ import annotations

import json
from collections.abc import Iterable

import polars as pl

from sweeplens.cancellation import checkpoint
from sweeplens.errors import InputError, UnknownNameError
from sweeplens.frames.pattern_search import PatternTime
from sweeplens.frames.patterns import is_glob, match_glob, no_match
from sweeplens.frames.schemas import CONTINUES

__all__ = ["display_names", "ids_matching", "run_named", "shown_run", "with_names"]

_NAMED = 3


def display_names(runs: pl.DataFrame) -> dict[str, str]:
    """Returns run id -> display name, for names that select one run; a frame without names has none."""
    if "name" not in runs.columns:
        return {}
    named = runs.select("run_id", pl.col("name").cast(pl.String))
    if not (named["name"] != named["run_id"]).any():
        return {}
    named = named.filter(pl.col("name").is_duplicated().not_())
    named = named.filter((pl.col("name") != "") & pl.col("name").is_in(runs["run_id"].implode()).not_())
    part = [pl.col("run_id").str.starts_with(pl.col("name") + mark) for mark in "@#"]
    return dict(named.filter(pl.any_horizontal(part).not_()).iter_rows())


def ids_matching(runs: pl.DataFrame, patterns: Iterable[str], *, hint: str) -> list[str]:
    """Returns the ids that the patterns select: ids, display names, and globs of either. Raises where one selects none.

    The id of the earlier part of a resumed training selects the training.
    """
    ids, names = runs["run_id"].to_list(), display_names(runs)
    exact, by_name = set(ids), {**_earlier_ids(runs), **{name: run for run, name in names.items()}}
    chosen: set[str] = set()
    time = PatternTime()
    for pattern in dict.fromkeys(patterns):
        if pattern in exact:
            chosen.add(pattern)
        elif pattern in by_name:
            chosen.add(by_name[pattern])
        else:
            checkpoint()
            found = _by_glob(pattern, ids, by_name, time) if is_glob(pattern) else []
            if not found:
                raise _unknown(runs, pattern, hint)
            chosen.update(found)
    return [run for run in ids if run in chosen]


def _earlier_ids(runs: pl.DataFrame) -> dict[str, str]:
    """Returns the ids of earlier parts of trainings, each with that of the training."""
    if CONTINUES not in runs.columns:
        return {}
    told = runs.select("run_id", CONTINUES).drop_nulls()
    return {earlier: run for run, text in told.iter_rows() for earlier in json.loads(text)}


def _by_glob(pattern: str, ids: list[str], by_name: dict[str, str], time: PatternTime) -> list[str]:
    return [*match_glob(pattern, ids, time), *(by_name[name] for name in match_glob(pattern, list(by_name), time))]


def run_named(runs: pl.DataFrame, name: str) -> str:
    """Returns the id of a run by its id or display name. Raises UnknownNameError, InputError for a name of several runs."""
    if (runs["run_id"] == name).any():
        return name
    for run, shown in display_names(runs).items():
        if shown == name:
            return run
    matching = match_glob(name, runs["run_id"].to_list()) if is_glob(name) else []
    if matching:
        hint = f"get_run takes one run; list_runs(runs={name!r}) lists the {len(matching)} that match."
        raise UnknownNameError.of("run", name, matching, hint=hint)
    raise _unknown(runs, name, f"list_runs shows all {runs.height}.")


def _unknown(runs: pl.DataFrame, name: str, hint: str) -> InputError:
    several = runs.filter(pl.col("name") == name)["run_id"].to_list() if "name" in runs.columns else []
    if several:
        more = f" and {len(several) - _NAMED} more" if len(several) > _NAMED else ""
        ids = ", ".join(map(repr, several[:_NAMED]))
        return InputError(
            f"{len(several)} runs are called {name!r}: pass their ids ({ids}{more}), or where=\"name = '...'\"."
        )
    return no_match("run", name, [*runs["run_id"].to_list(), *display_names(runs).values()], hint)


def shown_run(run: str, names: dict[str, str]) -> str:
    """Returns the name that people know with the id behind it; the id alone where there is none."""
    return f"{names[run]} ({run})" if run in names else run


def with_names(table: pl.DataFrame, runs: pl.DataFrame) -> pl.DataFrame:
    """Returns the table with a column ``name`` after ``run_id``, where any of its runs has a display name."""
    names = display_names(runs)
    mine = [names.get(run) for run in table["run_id"].to_list()] if names and "name" not in table.columns else []
    if not any(mine):
        return table
    return table.insert_column(table.get_column_index("run_id") + 1, pl.Series("name", mine, dtype=pl.String))
