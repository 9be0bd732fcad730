"""Importance of hyperparameters: their shares of the variance over runs, their direction, and confounding.

`forest` measures the shares, `levels` the directions. Hyperparameters that split the runs in the same way (perfectly
confounded) are one column of the forest and share its number; each lists the others in ``confounded_with``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl
from msgspec import Struct

from sweeplens.analyses.coverage import coverage_of, series_of, with_config
from sweeplens.analyses.forest import VarianceShares, sample_text, shares_of_spread
from sweeplens.analyses.levels import Levels, direction_of, interaction_of, levels_of, matters, ranks_of, where_set
from sweeplens.analyses.luck import reading_notes
from sweeplens.analyses.missing_runs import failure_note
from sweeplens.analyses.noise import pooled_spread
from sweeplens.analyses.printed_warnings import ignored_notes
from sweeplens.analyses.statistics import ALPHA, HUGE, holm, mean
from sweeplens.answers import Answer, Basis
from sweeplens.counting import count_of, verb
from sweeplens.engines.protocol import PointSource
from sweeplens.errors import InputError
from sweeplens.frames.goals import goal_of
from sweeplens.frames.grouping import (
    is_task,
    keyed,
    others_of,
    same_split,
    settings_among,
    two_valued,
    varying_hparams,
)
from sweeplens.frames.reduction import DEFAULT_REDUCE, parse_reduce, reduce_runs, runs_lacking

__all__ = ["effects"]

_SCHEMA = {
    "hparam": pl.String(), "importance": pl.Float64(), "importance_low": pl.Float64(), "importance_high": pl.Float64(),
    "direction": pl.String(), "best_value": pl.String(), "n_values": pl.Int64(), "confounded_with": pl.List(pl.String()),
}  # fmt: skip
_PAIR = {"hparam_a": pl.String(), "hparam_b": pl.String(), "share": pl.Float64(), "p": pl.Float64()}
_FEWEST = 5
_FEW = 20
_FEW_A_COLUMN = 5
_ALIASED = 0.9
_FAR = 8.0
_FAR_SHARE = 0.05
_MISSED = "; upper ends are divided by R2, as the forest may miss that part of an effect"
_R2_SLACK = 0.05  # a share above R2 by less is within the noise of both
_NEGLIGIBLE = 0.01
_LEARNED = 0.2


class _Design(Struct, frozen=True):
    """The runs used (keyed), classes of perfectly confounded hyperparameters, near aliases, and levels."""

    table: pl.DataFrame
    classes: tuple[tuple[str, ...], ...]
    aliases: dict[str, list[str]]
    levels: dict[str, Levels]


def effects(
    runs: pl.DataFrame,
    series: pl.DataFrame,
    points: PointSource,
    metric: str,
    *,
    goal: str = "",
    reduce: str = DEFAULT_REDUCE,
    goals: Mapping[str, str] | None = None,
    replicates: Sequence[str] = (),
    tasks: Sequence[str] = (),
) -> Answer:
    """Returns one row a varying hyperparameter (without replicates), the most important first; table interaction.

    ``importance`` and its 95 % interval are shares of the variance (0 to 1); method and sources: `forest`, `levels`.
    ``tasks``: globs of hyperparameters that name the task: values are standardised within each task.
    Raises UnknownNameError, AmbiguousGoalError, InputError.
    """
    how = parse_reduce(reduce)
    if how.how == "points":
        raise InputError("hparam_effects takes one number a run: reduce='points' has many.")
    asked = series_of(metric, series)
    direction = goal_of(metric, goal, goals)
    runs, lost = with_config(runs)
    asked = _of(asked, runs["run_id"].to_list())
    reduced = reduce_runs(asked, points, how, goals=goals, goal=direction)
    rows = reduced.values.sort("run_id")
    ids = rows["run_id"].to_list()
    used = runs.filter(pl.col("run_id").is_in(ids)).sort("run_id")
    of_task = [n for n in varying_hparams(used) if is_task(n, tasks)]
    design = _design(used.drop(of_task), replicates)
    values, ranked = _values(_within_tasks(used, rows, of_task))
    goodness = values if direction == "higher" else [-v for v in values]
    shares = _shares(design, values)
    pair = _strongest_pair(design, shares, values)
    at = f" (step {reduced.step})" if reduced.step is not None else ""
    notes = [f"{direction} is better; reduce {how}{at}; {count_of(len(values), 'run')}, each counts once."]
    notes += [_RANKED] * ranked + _size_notes(design, values, shares, of_task) + _class_notes(design)
    notes += [_noise_note(design, values), *_pair_notes(pair, shares), coverage_of(used, _of(asked, ids)).note()]
    notes += [
        _task_note(of_task),
        failure_note(runs, ids, replicates),
        *reading_notes(str(how), _of(asked, ids), points, rows, _each(rows)),
    ]
    left = (*runs_lacking([metric], runs, series), *reduced.left_out)
    table = _table(design, goodness, shares, pair)
    notes += [_inside_note(design, table, goodness), *ignored_notes(runs, table["hparam"])]
    basis = Basis(runs_used=len(ids), left_out=(*lost, *left), points=reduced.points, sampling=sample_text(len(ids)))
    return Answer(table, basis, tuple(n for n in notes if n), {"interaction": _pair_table(pair)})


_RANKED = "Outliers: shares are of the variance of ranks, not of values."


def _within_tasks(runs: pl.DataFrame, rows: pl.DataFrame, of_task: Sequence[str]) -> list[float]:
    """Returns the values; where tasks vary, standardised within each task."""
    if not of_task:
        return rows["value"].to_list()
    value = pl.col("value")
    placed = rows.join(keyed(runs, of_task), on="run_id", maintain_order="left")
    spread = value.std().over(of_task)
    scaled = pl.when(spread > 0).then((value - value.mean().over(of_task)) / spread).otherwise(0.0)
    return placed.select(scaled.alias("value"))["value"].to_list()


def _task_note(of_task: Sequence[str]) -> str:
    if not of_task:
        return ""
    return f"{', '.join(of_task)} is the task: values are standardised within each task, and it has no row."


def _each(rows: pl.DataFrame) -> pl.DataFrame:
    """Returns each run as its own group."""
    return rows.select("run_id").with_row_index("group")


def _inside_note(design: _Design, table: pl.DataFrame, goodness: Sequence[float]) -> str:
    """Names hyperparameters whose best value lies inside the range that was tried."""
    turned = table.filter(pl.col("direction") == "not monotonic")
    inside = [
        f"{row['hparam']} at {row['best_value']}"
        for row in turned.iter_rows(named=True)
        if row["best_value"] not in (design.levels[row["hparam"]].names[0], design.levels[row["hparam"]].names[-1])
    ]
    return f"Best inside the range that was tried: {', '.join(inside)}." if inside else ""


def _of(series: pl.DataFrame, ids: Sequence[str]) -> pl.DataFrame:
    return series.filter(pl.col("run_id").is_in(list(ids)))


def _values(values: Sequence[float]) -> tuple[list[float], bool]:
    """Returns the values, or their ranks where a few (at most 5 %) are farther than 8 median absolute deviations.

    More than a few are not outliers but an effect to explain (a learning rate at which every run fails).
    """
    column = pl.Series(values, dtype=pl.Float64)
    if (column.abs() > HUGE).any():
        return column.rank("average").to_list(), True
    if column.len() < _FEWEST:
        return column.to_list(), False
    distance = (column - column.median()).abs()
    usual = distance.median()
    far = int((distance > _FAR * usual).sum()) if isinstance(usual, float) and usual > 0 else 0
    if 0 < far <= max(1, _FAR_SHARE * column.len()):
        return column.rank("average").to_list(), True
    return column.to_list(), False


def _design(runs: pl.DataFrame, replicates: Sequence[str]) -> _Design:
    names = settings_among(runs, sorted(two_valued(runs)), replicates)
    table = keyed(runs, names)
    nulls = set(runs["null_hparams"].explode().drop_nulls().to_list())
    classes = tuple(tuple(c) for one in same_split(runs, names) for c in _truly_same(table, one))
    firsts = [c[0] for c in classes]
    return _Design(table, classes, _aliases(table, firsts), {n: levels_of(table[n], none=n in nulls) for n in names})


def _truly_same(table: pl.DataFrame, names: Sequence[str]) -> list[list[str]]:
    """Splits a class where values never repeat (random search): only hyperparameters with equal or mirrored order stay together."""
    if len(names) == 1 or table[names[0]].n_unique() <= table.height // 2:
        return [list(names)]
    classes: dict[tuple[float, ...], list[str]] = {}
    for name in names:
        ranks = ranks_of(table[name])
        both_ends = min(ranks) + max(ranks)
        mirrored = [both_ends - r for r in ranks]
        classes.setdefault(max(tuple(ranks), tuple(mirrored)), []).append(name)
    return list(classes.values())


def _aliases(table: pl.DataFrame, names: Sequence[str]) -> dict[str, list[str]]:
    """Returns nearly confounded hyperparameters: rank correlation, or association of levels, of at least 0.9."""
    if len(names) < 2 or table.height < _FEWEST:
        return {}
    import numpy as np

    ranks = np.array([table[n].rank("average").fill_null(0.0).to_list() for n in names])
    near = np.abs(np.corrcoef(ranks)) >= _ALIASED
    found: dict[str, list[str]] = {}
    ordered = [table[n].dtype.is_numeric() for n in names]
    codes = [levels_of(table[n]).codes for n in names]
    for i, one in enumerate(names):
        for j, other in enumerate(names[:i]):
            if near[i, j] if ordered[i] and ordered[j] else _associated(codes[i], codes[j]) >= _ALIASED:
                found.setdefault(one, []).append(other)
                found.setdefault(other, []).append(one)
    return found


def _associated(one: Sequence[int], other: Sequence[int]) -> float:
    """Cramér's V corrected for bias (Bergsma 2013), by the finer of both codings: 1 only where each determines the other."""
    import numpy as np

    counts = np.zeros((max(one) + 1, max(other) + 1))
    np.add.at(counts, (list(one), list(other)), 1)
    n, (r, c) = len(one), counts.shape
    expected = counts.sum(1, keepdims=True) * counts.sum(0, keepdims=True) / n
    chi2 = float(((counts - expected) ** 2 / np.where(expected > 0, expected, 1)).sum())
    phi = max(0.0, chi2 / n - (r - 1) * (c - 1) / (n - 1))
    finer = max(r - (r - 1) ** 2 / (n - 1), c - (c - 1) ** 2 / (n - 1)) - 1
    return (phi / finer) ** 0.5 if finer > 0 else 0.0


def _shares(design: _Design, values: Sequence[float]) -> dict[str, tuple[float, float, float]] | None:
    """Returns the share of each class by its first name; None with too few runs, or where nothing varies."""
    if len(values) < _FEWEST or not design.classes or len(set(values)) == 1:
        return None
    found: VarianceShares = shares_of_spread([ranks_of(design.table[c[0]]) for c in design.classes], values)
    firsts = [c[0] for c in design.classes]
    learned = found.held_out_r2 if found.held_out_r2 >= _LEARNED else 1.0  # the unlearned part may be theirs as well
    high = [min(1.0, h / learned) for h in found.high]
    shares = dict(zip(firsts, zip(found.share, found.low, high, strict=True), strict=True))
    return shares | {"": (found.held_out_r2, 0.0, 0.0)}


def _table(
    design: _Design,
    goodness: Sequence[float],
    shares: dict[str, tuple[float, float, float]] | None,
    pair: tuple[str, str, tuple[float, float] | None] | None,
) -> pl.DataFrame:
    ps = holm([matters(design.levels[c[0]].groups(goodness)) for c in design.classes])
    rows: list[tuple[float, tuple[object, ...]]] = []
    for names, p in zip(design.classes, ps, strict=True):
        share = shares[names[0]] if shares else (None, None, None)
        known = p is not None and p < ALPHA and (share[0] or 0.0) > _NEGLIGIBLE
        some = (share[1] or 0.0) > _NEGLIGIBLE
        partner = _partner(names[0], pair, len(design.classes)) if some else ""
        for name in names:
            way, best = _direction_and_best(design, name, goodness, known=known)
            way_and_best = (f"depends on {partner}" if partner and not known else way, best)
            others = [*others_of(name, names), *design.aliases.get(names[0], [])]
            n_values = design.table[name].drop_nulls().n_unique()
            rows.append((share[0] or 0.0, (name, *share, *way_and_best, n_values, others)))
    ordered = [row for _, row in sorted(rows, key=lambda r: -r[0])]
    return pl.DataFrame(ordered, schema=_SCHEMA, orient="row")


def _direction_and_best(design: _Design, name: str, goodness: Sequence[float], *, known: bool) -> tuple[str, str]:
    """Returns direction and best value among the runs that have it; no direction without a significant effect."""
    numeric = design.table[name].dtype.is_numeric()
    levels, values = where_set(design.levels[name], goodness, numeric=numeric)
    means = [mean(group) for group in levels.groups(values)]
    best = levels.names[means.index(max(means))]
    return (direction_of(levels, values) if known else "no clear effect"), best


def _partner(name: str, pair: tuple[str, str, tuple[float, float] | None] | None, classes: int) -> str:
    """Returns the hyperparameter that this one interacts with significantly, corrected over all pairs, or nothing."""
    pairs = classes * (classes - 1) / 2
    if (
        pair is None
        or pair[2] is None
        or pair[2][1] * pairs >= ALPHA
        or pair[2][0] < _NEGLIGIBLE
        or name not in pair[:2]
    ):
        return ""
    return pair[1] if name == pair[0] else pair[0]


def _strongest_pair(
    design: _Design, shares: dict[str, tuple[float, float, float]] | None, values: Sequence[float]
) -> tuple[str, str, tuple[float, float] | None] | None:
    """Returns the two most important hyperparameters and their interaction."""
    if shares is None or len(design.classes) < 2:
        return None
    first, second = sorted((c[0] for c in design.classes), key=lambda n: -shares[n][0])[:2]
    return first, second, interaction_of(design.levels[first], design.levels[second], values)


def _pair_table(pair: tuple[str, str, tuple[float, float] | None] | None) -> pl.DataFrame:
    rows = [] if pair is None else [(pair[0], pair[1], *(pair[2] or (None, None)))]
    return pl.DataFrame(rows, schema=_PAIR, orient="row")


def _pair_notes(pair: tuple[str, str, tuple[float, float] | None] | None, shares: object) -> list[str]:
    if pair is None or shares is None:
        return []
    names = f"Interaction of the strongest pair, {pair[0]} and {pair[1]}"
    if pair[2] is None:
        return [f"{names}: not testable, no two runs share a cell of their grid."]
    share, p = pair[2]
    word = f"explains {100 * share:.2g} % of the variance beyond their sum" if p < ALPHA else "not significant"
    return [f"{names}: {word} (F test, p {p:.2g})."]


def _size_notes(
    design: _Design,
    values: Sequence[float],
    shares: dict[str, tuple[float, float, float]] | None,
    of_task: Sequence[str],
) -> list[str]:
    n, p = len(values), len(design.classes)
    if not p:
        return [f"No hyperparameter varies over {verb(n, 'this', 'these')} {count_of(n, 'run')}, except replicates."]
    if n < _FEWEST:
        return [f"Too few runs: {n}; shares need at least {_FEWEST}."]
    if shares is None:
        where = f" within each {', '.join(of_task)}" if of_task else ""
        return [f"All {n} runs have the same value{where}: there is no variance to explain."]
    notes: list[str] = []
    if n < max(_FEW, _FEW_A_COLUMN * p):
        notes.append(
            f"Few runs: {n} for {count_of(p, 'hyperparameter')}; shares are rough, and weak effects stay hidden."
        )
    held_out_r2 = shares[""][0]
    notes.append(
        "importance: share of the variance, usually too low, by permutation on held-out runs of a random forest (held-out R2 ="
        f" {held_out_r2:.2f}). Intervals resample runs{_MISSED if held_out_r2 >= _LEARNED else ''}. An interval that reaches 0: may"
        " not matter."
    )
    largest = max(share for name, (share, _, _) in shares.items() if name)
    if largest > held_out_r2 + _R2_SLACK:
        notes.append("The forest predicts held-out runs worse than the largest share: read the order, not the sizes.")
    return notes


def _class_notes(design: _Design) -> list[str]:
    same = [f"{' and '.join(c)} always change together" for c in design.classes if len(c) > 1]
    near = [f"{one} and {other} nearly do" for one, others in design.aliases.items() for other in others if one < other]
    if not same and not near:
        return []
    return [f"{'; '.join([*same, *near])}: they are confounded in these runs, and their share is a joint one."]


def _noise_note(design: _Design, values: Sequence[float]) -> str:
    names = [c[0] for c in design.classes]
    if not names or len(set(values)) < 2:
        return ""
    column = pl.Series("\0value", values)
    groups = design.table.with_columns(column).group_by(names).agg(pl.col("\0value").alias("\0values"))["\0values"]
    spread = pooled_spread(groups.list.len().to_list(), groups.list.var().to_list())
    if spread is None:
        return "No repeated runs: chance variation is unknown."
    share = min(1.0, spread.sd**2 / float(column.var() or 1.0))  # pyright: ignore[reportArgumentType]
    outlying = f", {count_of(len(spread.outlying), 'group')} of larger spread excluded" if spread.outlying else ""
    return f"Repetitions of one setting account for {share:.0%} of the variance{outlying}."
