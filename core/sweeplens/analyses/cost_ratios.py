"""What the levels of the studied hyperparameter cost relative to each other, with task, machine and other settings held equal.

Logarithms of the seconds a step are fitted by least squares with a term for each level, each machine and each cell: runs of one
task that are equal in all other settings that the levels share (a size of the model, a batch, a length of sequences). So a level
that mostly ran on slow machines or with small models is not called expensive. Where fewer than half of the runs are in a cell with
another level, each setting has terms of its own instead. Where two levels never ran on one machine, a third level that ran on both
links them. Without a link there is no ratio.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import polars as pl

from sweeplens.analyses.level_comparison import levels_of_hparam
from sweeplens.analyses.statistics import t_quantile
from sweeplens.analyses.studied import studied_hparam
from sweeplens.analyses.triage.pairs import words
from sweeplens.counting import count_of
from sweeplens.frames.grouping import is_machine, keyed, same_split, settings_among, task_hparams, varying_hparams
from sweeplens.frames.many_columns import value_sets
from sweeplens.frames.schemas import hparam_columns

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["cost_ratio_note"]

_KINDS = frozenset({"gpu", "accelerator", "machine", "host", "hostname", "node"})
_MOST_MACHINES = 12
_MOST_LEVELS = 12  # of a setting that has a term for each; with more, a number has one for its logarithm
_MOST_SETTINGS = 20
_TOLD = 3  # settings that the sentence names


def cost_ratio_note(
    runs: pl.DataFrame, costs: pl.DataFrame, tasks: Sequence[str], replicates: Sequence[str]
) -> tuple[str, ...]:
    """Returns a sentence with the ratio of each level to the baseline and its interval; none where nothing is studied or timed.

    ``costs``: run_id, steps, seconds.
    """
    name = studied_hparam(runs, tasks, replicates)
    timed = costs.filter((pl.col("seconds") > 0) & (pl.col("steps") > 0))
    timed = timed.select("run_id", pace=(pl.col("seconds") / pl.col("steps")).log())
    if not name or timed.height < 6:
        return ()
    levels, base = levels_of_hparam(runs, name)
    of_run = {run: level for level, ids in levels.items() for run in ids}
    tasked, machine = task_hparams(runs, tasks), _machine(runs)
    own = runs.join(timed, on="run_id", how="semi").filter(pl.col("run_id").is_in(list(of_run)))
    on_base = own["run_id"].is_in(levels[base])
    settings = _shared_settings(own, [name, *tasked, machine], replicates, on_base)
    table = _table(own, timed, of_run, tasked, machine, settings)
    ratios = _of_levels(table, settings, [n for n in levels if n != base], base)
    if not ratios:
        return ()
    named = [
        *(["the task"] if tasked else []),
        *_named(settings),
        *([machine.removeprefix("metadata.")] if machine else []),
    ]
    held = f"{', '.join(named[:-1])} and {named[-1]}" if len(named) > 1 else "".join(named)
    equal = f", {held} held equal" * bool(held) + " (machines were not logged)" * (not machine)
    told = ", ".join(f"{level} {r:.3g} times [{low:.3g}, {high:.3g}]" for level, (r, low, high) in ratios.items())
    return (f"Time a step against {name}={base}{equal}: {told} ({table.height} runs).",)


def _named(settings: Sequence[str]) -> list[str]:
    more = len(settings) - _TOLD
    return [*settings[:_TOLD], *([count_of(more, "more setting")] if more > 0 else [])]


def _shared_settings(
    runs: pl.DataFrame, without: Sequence[str], replicates: Sequence[str], on_base: pl.Series
) -> list[str]:
    """Returns the other settings that vary and have a value that the baseline and another level share, one of each split."""
    names = [n for n in varying_hparams(runs) if n not in without and not is_machine(n)]
    names = [own[0] for own in same_split(runs, settings_among(runs, names, replicates))]
    columns = keyed(runs, names)
    sides = (columns.filter(on_base), columns.filter(~on_base))
    one, other = (value_sets([side[n] for n in names]) for side in sides)
    shared = [n for n, ours, theirs in zip(names, one, other, strict=True) if ours & theirs]
    return shared[:_MOST_SETTINGS]


def _table(
    runs: pl.DataFrame, timed: pl.DataFrame, of_run: Mapping[str, str], tasked: Sequence[str], machine: str, settings: Sequence[str]
) -> pl.DataFrame:  # fmt: skip
    """Returns run_id, pace, level, task, machine, cell, and the settings by their place (``0`` ...)."""
    places = [pl.col(n).alias(str(i)) for i, n in enumerate(settings)]
    columns = keyed(runs, [*tasked, *settings])
    texts = [pl.col(t).cast(pl.String).fill_null("") for t in tasked]
    task = pl.concat_str(texts, separator=", ") if texts else pl.lit("")
    table = columns.select("run_id", *places, task=task)
    kinds = runs.select("run_id", machine=pl.col(machine).cast(pl.String).fill_null("?") if machine else pl.lit(""))
    table = table.join(timed, on="run_id").join(kinds, on="run_id").sort("run_id")
    level = pl.col("run_id").replace_strict(of_run, return_dtype=pl.String)
    cell = pl.struct("task", *(str(i) for i in range(len(settings)))).rank("dense")
    return table.with_columns(level=level, cell=cell)


def _of_levels(
    table: pl.DataFrame, settings: Sequence[str], others: Sequence[str], base: str
) -> dict[str, tuple[float, float, float]]:
    """Returns level -> ratio: within cells if half of the runs are in one with another level, else with terms for each setting."""
    in_cells = table.filter(pl.col("level").n_unique().over("cell") > 1)
    found: dict[str, tuple[float, float, float]] = {}
    if settings and 2 * in_cells.height >= table.height:
        found = _ratios(in_cells, _levels(in_cells, ("machine",)), others, base, "cell")
    if len(found) < len(others):
        terms = [*_levels(table, ("machine",)), *_terms(table, len(settings))]
        found = {**_ratios(table, terms, others, base, "task"), **found}
    return {level: found[level] for level in others if level in found}


def _levels(table: pl.DataFrame, columns: Sequence[str]) -> list[NDArray[np.float64]]:
    """Returns a column of 0 and 1 for each value but the first."""
    values = [(c, v) for c in columns for v in table[c].unique().drop_nulls().sort().to_list()[1:]]
    return [(table[c] == v).fill_null(value=False).to_numpy().astype(float) for c, v in values]


def _terms(table: pl.DataFrame, n_settings: int) -> list[NDArray[np.float64]]:
    """Returns the terms of the settings: one for each value, or the logarithm of a number of many values."""
    terms: list[NDArray[np.float64]] = []
    for column in (table[str(i)] for i in range(n_settings)):
        if column.n_unique() <= _MOST_LEVELS:
            missing = [column.is_null().to_numpy().astype(float)] if column.null_count() else []
            terms += [*_levels(table, (column.name,)), *missing]
        elif column.dtype.is_numeric() and not column.null_count() and (column > 0).all():
            terms.append(column.cast(pl.Float64).log().to_numpy())
    return terms


def _machine(runs: pl.DataFrame) -> str:
    """Returns the column of the kind of machine: the one with the fewest values."""
    columns = [*hparam_columns(runs), *(c for c in runs.columns if c.startswith("metadata."))]
    named = [c for c in columns if is_machine(c) or _KINDS & set(words(c)[-1:])]
    counts = {c: runs[c].drop_nulls().n_unique() for c in named if not runs.schema[c].is_numeric()}
    known = [c for c, n in counts.items() if 1 < n <= _MOST_MACHINES]
    return min(known, key=lambda c: (counts[c], len(c)), default="")


def _ratios(
    table: pl.DataFrame, terms: Sequence[NDArray[np.float64]], others: Sequence[str], base: str, within: str
) -> dict[str, tuple[float, float, float]]:
    """Returns level -> ratio to the baseline and its 95 % interval, for levels that data link with the baseline.

    Each value of ``within`` has a term of its own: means within it are subtracted from all columns.
    """
    import numpy as np

    present = [v for v in others if v in table["level"]]
    if base not in table["level"] or not present:
        return {}
    columns = [*((table["level"] == v).to_numpy().astype(float) for v in present), *terms, table["pace"].to_numpy()]
    centred = pl.DataFrame({str(i): c for i, c in enumerate(columns)}).with_columns(table[within].alias("within."))
    centred = centred.select(pl.col(str(i)) - pl.col(str(i)).mean().over("within.") for i in range(len(columns)))
    whole = centred.to_numpy()
    design, y = whole[:, :-1], whole[:, -1]
    inverse = np.linalg.pinv(design.T @ design, rcond=1e-10, hermitian=True)
    beta = inverse @ design.T @ y
    df = table.height - table[within].n_unique() - int(np.linalg.matrix_rank(design, tol=1e-6))
    if df < 1:
        return {}
    variance = float(((y - design @ beta) ** 2).sum()) / df
    found: dict[str, tuple[float, float, float]] = {}
    for i, level in enumerate(present):
        unit = np.eye(design.shape[1])[i]
        if np.allclose(design.T @ design @ inverse @ unit, unit, atol=1e-6):  # it is determined
            half = t_quantile(df) * math.sqrt(variance * float(inverse[i, i]))
            found[level] = (math.exp(beta[i]), math.exp(beta[i] - half), math.exp(beta[i] + half))
    return found
