"""Statistics of groups of runs, and the hyperparameters that vary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from sweeplens.analyses.bounds import cut_at_bounds
from sweeplens.analyses.coverage import settings_unknown
from sweeplens.analyses.printed_warnings import ignored_notes
from sweeplens.analyses.sorting import sort_table
from sweeplens.analyses.statistics_on_engine import grouped_on_engine
from sweeplens.answers import Answer, Basis, LeftOut
from sweeplens.counting import count_of, share_of, verb
from sweeplens.dataframes import statistics_of
from sweeplens.engines.protocol import PointSource
from sweeplens.errors import InputError
from sweeplens.frames.grouping import (
    folded,
    group_hparams,
    identifiers,
    is_replicate,
    keyed,
    others_of,
    runs_without_hparams,
    same_split,
    varying_hparams,
)
from sweeplens.frames.many_columns import sorted_values
from sweeplens.frames.reduction import DEFAULT_REDUCE, parse_reduce, reduce_runs, runs_lacking
from sweeplens.frames.schemas import hparam_columns

__all__ = ["summarize", "varying"]

_SHOWN_VALUES = 8


def summarize(
    runs: pl.DataFrame,
    series: pl.DataFrame,
    points: PointSource,
    hparams: Sequence[str],
    metrics: Sequence[str],
    *,
    reduce: str = DEFAULT_REDUCE,
    goals: Mapping[str, str] | None = None,
    replicates: Sequence[str] = (),
    sort: str = "",
) -> Answer:
    """Returns n, mean, std, sem, 95 % interval (Student's t), min, median, max: one row a group and metric.

    ``series`` and ``metrics`` are already selected. Empty ``hparams``: all that vary, except replicates.
    """
    by = group_hparams(runs, hparams, replicates)
    unknown = () if hparams else settings_unknown(runs)
    if unknown:
        runs, by = runs.with_columns(pl.col("run_id").alias("run")), ["run"]
    asked = series.filter(pl.col("metric").is_in(list(metrics)))
    many = grouped_on_engine(asked, points, runs, by, parse_reduce(reduce))
    if many is not None:
        notes = unknown + _notes(many.table, by, hparams, str(parse_reduce(reduce)), many.step)
        return _of_many(_sorted(_bounded(many.table), sort, runs), asked, notes)
    reduced = reduce_runs(asked, points, parse_reduce(reduce), goals=goals)
    table = _sorted(_bounded(statistics_of(reduced, runs, by)), sort, runs)
    whole = len(metrics) * runs.height  # nothing is missing: the usual case, and slow to check run by run
    everything = asked.height == whole
    same = everything and reduced.values.height == whole > 0 and reduce != "points"
    used = runs.height if same else reduced.values["run_id"].n_unique()
    left = (*(() if everything else runs_lacking(metrics, runs, series)), *reduced.left_out)
    notes = unknown + _notes(table, by, hparams, str(parse_reduce(reduce)), reduced.step)
    return Answer(table, Basis(runs_used=used, left_out=left, points=reduced.points), notes)


def _bounded(table: pl.DataFrame) -> pl.DataFrame:
    """Returns statistics with the intervals of shares cut at their bounds, as `rank` does."""
    return cut_at_bounds(table, table)


def _of_many(table: pl.DataFrame, asked: pl.DataFrame, notes: tuple[str, ...]) -> Answer:
    """Returns the answer where the engine has grouped the runs: it says how many have no value, and not which."""
    used = table.group_by("metric").agg(pl.col("n").sum())["n"].max()
    missing = asked.height - int(table["n"].sum())
    told = (f"{missing:,} of {asked.height:,} series have no value; which they are is not listed for so many.",)
    basis = Basis(runs_used=used if isinstance(used, int) else 0, points=int(asked["n_logged"].sum()))
    return Answer(table, basis, (*notes, *(told if missing else ())))


def _notes(
    table: pl.DataFrame, by: Sequence[str], asked: Sequence[str], reduce: str, step: int | None
) -> tuple[str, ...]:
    notes = [
        f"reduce {reduce}"
        + (f" (step {step})" if step is not None else "")
        + "; each run counts once" * (reduce != "points")
    ]
    if not by:
        notes.append("No hyperparameter varies except replicates: all runs are one group." if not asked else "")
    singles = table.filter(pl.col("n") == 1).height
    if singles:
        notes.append(
            f"{share_of(singles, table.height, 'row')} {verb(table.height, 'has', 'have')} a single run: no interval."
        )
    return tuple(n for n in notes if n)


def varying(runs: pl.DataFrame, replicates: Sequence[str]) -> Answer:
    """Returns one row a varying hyperparameter: its values, how many runs lack it, and which others it is confounded with."""
    names = varying_hparams(runs)
    table = keyed(runs, names)
    shown = folded(names)
    alone = [name for name, own in shown.items() if own == [name]]
    twins = {n: same for same in same_split(runs, alone) for n in same}
    values = dict(zip(alone, sorted_values([table[n] for n in alone]), strict=True))
    identify = identifiers(runs, alone, replicates)
    rows = [
        {
            **_varying_row(table[n], values[n], others_of(n, twins[n])),
            "replicate": n in identify or is_replicate(runs, n, replicates),
        }
        if n in values
        else _varying_keys(n, table, own)
        for n, own in shown.items()
    ]
    schema = {
        "hparam": pl.String, "n_values": pl.Int64, "values": pl.List(pl.String), "n_missing": pl.Int64,
        "replicate": pl.Boolean, "same_as": pl.List(pl.String),
    }  # fmt: skip
    answer = pl.DataFrame(rows, schema=schema).sort(pl.col("n_values") < 2, maintain_order=True)
    notes = (
        ()
        if rows
        else (f"No hyperparameter varies over {verb(runs.height, 'this run', f'these {runs.height} runs')}.",)
    )
    notes += ignored_notes(runs, names)
    silent = runs_without_hparams(runs)
    left_out = (LeftOut("no hyperparameter known", tuple(silent)),) if silent else ()
    return Answer(answer, Basis(runs_used=runs.height - len(silent), left_out=left_out), notes)


def _varying_row(column: pl.Series, values: pl.Series, same_as: Sequence[str]) -> dict[str, object]:
    return {
        "hparam": column.name,
        "n_values": len(values),
        "values": _values(values),
        "n_missing": int(column.null_count()),
        "same_as": list(same_as),
    }


def _varying_keys(parent: str, table: pl.DataFrame, names: Sequence[str]) -> dict[str, object]:
    """Returns many hyperparameters under one parent as one row; its values are combinations of theirs."""
    rows = [table[n].to_list() for n in names]
    together = list(zip(*rows, strict=True))
    return {
        "hparam": parent,
        "n_values": len(set(together)),
        "values": [count_of(len(names), "key")],
        "n_missing": sum(all(v is None for v in values) for values in together),
        "replicate": False,
        "same_as": [],
    }


def _values(known: pl.Series) -> list[str]:
    """Returns sorted values as text; of many, the first few and the last."""
    texts = [_text(v) for v in known.to_list()]
    if len(texts) <= _SHOWN_VALUES:
        return texts
    return [*texts[: _SHOWN_VALUES - 2], f"... {len(texts) - _SHOWN_VALUES + 1} more ...", texts[-1]]


def _text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _sorted(table: pl.DataFrame, sort: str, runs: pl.DataFrame) -> pl.DataFrame:
    """Returns the groups in order of a column. A hyperparameter that defines no group has no single value in a row."""
    name = sort.removeprefix("-")
    if name in hparam_columns(runs) and name not in table.columns:
        columns = ", ".join(table.columns)
        raise InputError(f"{name!r} is no column of this answer: add it to hparams to sort by it. Columns: {columns}.")
    return sort_table(table, sort)
