"""Finds runs that are only rows of a table about other runs: ``summary.csv`` or a leaderboard over the folders of a sweep.

    restated_runs(runs)            -> source -> ids of its runs that restate others
    without_runs(runs, restated)   -> the runs without them, and without columns that only they had

A table may hold one run a row. Such a row is no run of its own where it names a run that has a log (its id, its display name, or a
part of its path that no other run has), or where nearly all rows of the table have the settings of runs that lie below its folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

import polars as pl

from sweeplens.frames.schemas import RUN_COLUMNS, hparam_columns
from sweeplens.store.runs_frame import TIMES_OF_FILES

__all__ = ["restated_runs", "without_runs"]

_NEARLY_ALL = 0.8
_COUNT = re.compile(r"(?i)(?:n|num|count|rank|place|total)(?:[_ ].*)?|.*[_ ](?:n|count|rank)|#")


def restated_runs(runs: pl.DataFrame) -> dict[str, list[str]]:
    """Returns the runs that restate others by the source that holds them."""
    many = pl.len().over("source") > 1
    rows = runs.filter((pl.col("n_steps") <= 1) & (many | (pl.col("format") == "run_table")))
    if not rows.height or rows.height == runs.height:
        return {}
    known = runs.join(rows.select("run_id"), on="run_id", how="anti").filter(pl.col("n_steps") > 1)
    if not known.height:
        return {}
    names = _names(known)
    found: dict[str, list[str]] = {}
    for (source,), table in rows.partition_by("source", as_dict=True).items():
        named = [r for r, label in _labels(table).items() if label in names]
        mine = named or _with_known_settings(table, known)
        if mine:
            found[str(source)] = mine
    return found


def _names(known: pl.DataFrame) -> frozenset[str]:
    """Returns the texts that name one run: ids, display names, and parts of ids that no other run has."""
    runs: dict[str, set[str]] = {}
    for run_id, name in known.select("run_id", "name").iter_rows():
        for text in {run_id, name, *(part for part in run_id.split("/"))}:
            runs.setdefault(text, set()).add(run_id)
            runs.setdefault(text.rpartition(".")[0], set()).add(run_id)
    return frozenset(text for text, ids in runs.items() if len(ids) == 1 and text)


def _labels(table: pl.DataFrame) -> dict[str, str]:
    """Returns run -> what its row calls it."""
    pairs = table.select("run_id", "source").iter_rows()
    return {run: run.partition(f"{os.path.basename(source)}/")[2] or run for run, source in pairs}  # noqa: PTH119 - text of a frame


def _with_known_settings(table: pl.DataFrame, known: pl.DataFrame) -> list[str]:
    """Returns all rows if nearly all have the settings of known runs below the table's folder, and no setting of their own."""
    if table["format"][0] != "run_table":
        return []
    home = os.path.dirname(table["source"][0]) + os.sep  # noqa: PTH120 - text of a frame
    below = known.filter(pl.col("source").str.starts_with(home))
    settings = [c for c in hparam_columns(table) if table[c].null_count() < table.height]
    shared = [c for c in settings if below.height and below[c].null_count() < below.height]
    own = [c for c in settings if c not in shared and table[c].n_unique() > 1 and not _COUNT.fullmatch(c)]
    if not shared or own:
        return []
    matched = table.join(below.select(shared).unique(), on=shared, how="semi").height
    return table["run_id"].to_list() if matched >= _NEARLY_ALL * table.height else []


def without_runs(runs: pl.DataFrame, restated: Mapping[str, list[str]]) -> pl.DataFrame:
    """Returns the runs without those that restate others, and without columns that only these had."""
    if not restated:
        return runs
    kept = runs.filter(pl.col("run_id").is_in([run for ids in restated.values() for run in ids]).not_())
    empty = [c for c in kept.columns if c not in RUN_COLUMNS and kept[c].null_count() == kept.height]
    return kept.drop([c for c in empty if runs[c].null_count() < runs.height and c not in TIMES_OF_FILES])
