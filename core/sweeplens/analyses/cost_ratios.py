"""What the levels of the studied hyperparameter cost relative to each other, with task and machine held equal.

Logarithms of the seconds a step are fitted by least squares with a term for each level, each task and each machine, so that a level
that mostly ran on slow machines is not called expensive. Where two levels never ran on one machine, a third level that ran on both
links them. Without a link there is no ratio.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import polars as pl

from sweeplens.analyses.level_comparison import levels_of_hparam
from sweeplens.analyses.statistics import t_quantile
from sweeplens.analyses.studied import studied_hparam
from sweeplens.analyses.triage.pairs import words
from sweeplens.frames.grouping import is_machine, keyed, task_hparams
from sweeplens.frames.schemas import hparam_columns

__all__ = ["cost_ratio_note"]

_KINDS = frozenset({"gpu", "accelerator", "machine", "host", "hostname", "node"})
_MOST_MACHINES = 12


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
    named = task_hparams(runs, tasks)
    task = (
        pl.concat_str([pl.col(t).cast(pl.String).fill_null("") for t in named], separator=", ") if named else pl.lit("")
    )
    machine = _machine(runs)
    table = (
        keyed(runs, named)
        .select("run_id", task=task)
        .join(timed, on="run_id")
        .filter(pl.col("run_id").is_in(list(of_run)))
    )
    table = table.with_columns(level=pl.col("run_id").replace_strict(of_run, return_dtype=pl.String))
    kinds = runs.select("run_id", machine=pl.col(machine).cast(pl.String).fill_null("?") if machine else pl.lit(""))
    ratios = _ratios(table.join(kinds, on="run_id").sort("run_id"), [n for n in levels if n != base], base)
    if not ratios:
        return ()
    held = " and ".join([*(["the task"] if named else []), *([machine.removeprefix("metadata.")] if machine else [])])
    equal = f", {held} held equal" if held else " (machines were not logged)"
    told = ", ".join(f"{level} {r:.3g} times [{low:.3g}, {high:.3g}]" for level, (r, low, high) in ratios.items())
    return (f"Time a step against {name}={base}{equal}: {told} ({table.height} runs).",)


def _machine(runs: pl.DataFrame) -> str:
    """Returns the column of the kind of machine: the one with the fewest values."""
    columns = [*hparam_columns(runs), *(c for c in runs.columns if c.startswith("metadata."))]
    named = [c for c in columns if is_machine(c) or _KINDS & set(words(c)[-1:])]
    counts = {c: runs[c].drop_nulls().n_unique() for c in named if not runs.schema[c].is_numeric()}
    known = [c for c, n in counts.items() if 1 < n <= _MOST_MACHINES]
    return min(known, key=lambda c: (counts[c], len(c)), default="")


def _ratios(table: pl.DataFrame, others: Sequence[str], base: str) -> dict[str, tuple[float, float, float]]:
    """Returns level -> ratio to the baseline and its 95 % interval, for levels that data link with the baseline."""
    import numpy as np

    terms = [("level", v) for v in others if v in table["level"]]
    terms += [(c, v) for c in ("task", "machine") for v in table[c].unique().sort().to_list()[1:]]
    design = np.column_stack([np.ones(table.height), *((table[c] == v).to_numpy().astype(float) for c, v in terms)])
    y = table["pace"].to_numpy()
    inverse = np.linalg.pinv(design.T @ design)
    beta = inverse @ design.T @ y
    df = table.height - int(np.linalg.matrix_rank(design))
    if df < 1 or base not in table["level"]:
        return {}
    variance = float(((y - design @ beta) ** 2).sum()) / df
    found: dict[str, tuple[float, float, float]] = {}
    for i, (column, level) in enumerate(terms, 1):
        unit = np.eye(design.shape[1])[i]
        if column == "level" and np.allclose(design.T @ design @ inverse @ unit, unit, atol=1e-6):  # it is determined
            half = t_quantile(df) * math.sqrt(variance * float(inverse[i, i]))
            found[level] = tuple(math.exp(v) for v in (beta[i], beta[i] - half, beta[i] + half))  # pyright: ignore[reportArgumentType]
    return found
