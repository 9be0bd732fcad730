"""Suggests which runs to make next with a budget of runs: `suggest`, a pure function over frames.

    redo         runs that were cut off or are copies of another run: the same settings and seeds once more
    confounded   perfectly confounded hyperparameters: the cells that separate them
    edge         the best value of a numeric hyperparameter is its largest or smallest: the next value beyond
    repeat       no setting was repeated, so the spread is unknown: more seeds of the two best
    tie          settings that tie with the best: more seeds of both
    empty_cell   combinations that were never run and are predicted (adding up main effects) to be about as good as the best

Each suggestion states the difference in means that its runs could detect: a two-sided t test at 5 % with a power of 80 %
(noncentral t), with the spread pooled over settings with repetitions, which is taken to be equal in all and normal.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import product
from typing import Any

import polars as pl
from msgspec import Struct

from sweeplens.analyses.coverage import listed, series_of, with_config
from sweeplens.analyses.duplicate_runs import DuplicateRuns
from sweeplens.analyses.lost_runs import lost_runs
from sweeplens.analyses.noise import pooled_spread
from sweeplens.analyses.printed_warnings import ignored_notes
from sweeplens.analyses.statistics import t_quantile
from sweeplens.answers import Answer, Basis, LeftOut
from sweeplens.counting import count_of, share_of, verb
from sweeplens.engines.protocol import PointSource
from sweeplens.errors import InputError
from sweeplens.frames.goals import goal_of
from sweeplens.frames.grouping import group_hparams, is_replicate, keyed, same_split, settings_among, two_valued
from sweeplens.frames.reduction import parse_reduce, reduce_runs

__all__ = ["SUGGESTIONS", "detectable", "suggest"]

SUGGESTIONS = {
    "reason": pl.String(), "n_runs": pl.Int64(), "why": pl.String(), "detectable": pl.Float64(), "settings": pl.List(pl.String()),
}  # fmt: skip
_POWER = 0.8
_REPEATS = 2  # more seeds of a setting that was run once
_RIVALS = 3
_HOPELESS = 4.0  # largest detectable difference, in multiples of the gap
_LEVELS = 6
_CELLS = 500
_MOST = 200


class _Setting(Struct, frozen=True):
    """One group of runs with equal hyperparameters. The sign of ``mean`` makes lower better."""

    values: tuple[object, ...]
    n: int
    mean: float
    variance: float | None


class _Suggestion(Struct, frozen=True):
    reason: str
    why: str
    cells: tuple[dict[str, object], ...]  # a run each
    detectable: float | None


class _Sweep(Struct, frozen=True):
    """The settings from best to worst, their hyperparameters, the spread, and the seeds that were used."""

    metric: str
    sign: float
    keys: tuple[str, ...]
    settings: tuple[_Setting, ...]
    deviation: float | None
    degrees: int
    seed: str
    next_seed: int

    @property
    def usual(self) -> int:
        """Returns the usual number of runs of a setting."""
        counts = sorted(s.n for s in self.settings)
        return counts[len(counts) // 2] if counts else 1

    def shown(self, setting: _Setting) -> str:
        return " ".join(f"{k}={_text(v)}" for k, v in zip(self.keys, setting.values, strict=True)) or "all runs"

    def seeded(self, cell: Mapping[str, object], n: int) -> tuple[dict[str, object], ...]:
        """Returns the cell n times, each with an unused seed."""
        if not self.seed:
            return tuple(dict(cell) for _ in range(n))
        return tuple({**cell, self.seed: self.next_seed + i} for i in range(n))


def suggest(
    runs: pl.DataFrame,
    series: pl.DataFrame,
    points: PointSource,
    metric: str,
    *,
    budget: int = 8,
    goal: str = "",
    goals: Mapping[str, str] | None = None,
    replicates: Sequence[str] = (),
    doubles: Sequence[DuplicateRuns] = (),
) -> Answer:
    """Returns one row a suggestion, the most informative first, up to ``budget`` runs in all. Raises InputError, UnknownNameError,
    AmbiguousGoalError."""
    if not 1 <= budget <= _MOST:
        raise InputError(f"budget {budget} is not a number of runs from 1 to {_MOST}.")
    configured, left_out = with_config(runs)
    runs, left_out = (configured, left_out) if configured.height else (runs, ())
    lost = lost_runs(runs, series.filter(pl.col("metric") == metric), doubles, replicates)
    whole = runs.filter(pl.col("run_id").is_in(lost["run_id"].implode()).not_())
    sweep = _sweep(whole, series, points, metric, goal_of(metric, goal, goals), goals, replicates)
    redone, beyond = _within(_redo(sweep, runs, lost), (budget + 1) // 2)
    made, dropped = _chosen(sweep, whole, replicates, budget - sum(len(s.cells) for s in redone))
    made, dropped = [*redone, *made], [*beyond, *dropped]
    rows = [(s.reason, len(s.cells), s.why, s.detectable, _commands(s.cells)) for s in made]
    why = "no result of their setting, cut off or copies"
    not_used = (LeftOut(why, tuple(lost["run_id"].to_list())),) if lost.height else ()
    basis = Basis(runs_used=sum(s.n for s in sweep.settings), left_out=(*left_out, *not_used))
    notes = (*_notes(sweep, made, dropped, budget), *ignored_notes(runs, sweep.keys))
    return Answer(pl.DataFrame(rows, schema=SUGGESTIONS, orient="row"), basis, notes)


def detectable(deviation: float, n_a: int, n_b: int, degrees: int) -> float | None:
    """Returns the difference in means that a two-sided t test at 5 % detects with a power of 80 %."""
    if degrees < 1 or min(n_a, n_b) < 1:
        return None
    return deviation * math.sqrt(1 / n_a + 1 / n_b) * _noncentrality(degrees)


@cache
def _noncentrality(degrees: int) -> float:
    """Returns the shift, in standard errors, at which noncentral t exceeds its limit in 80 % of cases.

    The probability is the mean, over quantiles of the estimated spread, of a normal one; scipy's noncentral t gives NaN for
    some shifts.
    """
    import numpy as np  # loaded only for suggestions

    from sweeplens.probability.normal import normal_cdf
    from sweeplens.probability.spread import spread_nodes

    spread, weights = (rows[0] for rows in spread_nodes(np.array([float(degrees)])))
    limit = t_quantile(degrees) * spread
    low, high = 0.0, float(limit.max()) + 10
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if float(weights @ normal_cdf(middle - limit)) > _POWER else (middle, high)
    return high


def _sweep(
    runs: pl.DataFrame,
    series: pl.DataFrame,
    points: PointSource,
    metric: str,
    goal: str,
    goals: Mapping[str, str] | None,
    replicates: Sequence[str],
) -> _Sweep:
    asked = series_of(metric, series)
    values = reduce_runs(asked, points, parse_reduce("last"), goals=goals, goal=goal).values
    known = runs.join(values.select("run_id", "value"), on="run_id", how="semi")
    keys = group_hparams(known, (), replicates) if known.height else []
    sign = -1.0 if goal == "higher" else 1.0
    table = keyed(known, keys).join(values.select("run_id", "value"), on="run_id")
    stats = [
        pl.len().alias("n."),
        (sign * pl.col("value")).mean().alias("mean."),
        pl.col("value").var().alias("var."),
    ]
    groups = (table.group_by(keys).agg(stats) if keys else table.select(stats)).sort("mean.", *keys)
    settings = tuple(
        _Setting(tuple(r[k] for k in keys), r["n."], r["mean."], r["var."]) for r in groups.iter_rows(named=True)
    ) if table.height else ()  # fmt: skip
    spread = pooled_spread([s.n for s in settings], [s.variance for s in settings])
    seed = next((n for n in two_valued(runs) if is_replicate(runs, n, replicates) and runs[n].dtype.is_integer()), "")
    top = int(str(runs[seed].max())) if seed else 0
    return _Sweep(
        metric, sign, tuple(keys), settings, spread.sd if spread else None, spread.df if spread else 0, seed, top + 1
    )


def _chosen(
    sweep: _Sweep, runs: pl.DataFrame, replicates: Sequence[str], budget: int
) -> tuple[list[_Suggestion], list[_Suggestion]]:
    """Returns the suggestions within the budget, in order, and the others. Untried settings come before ties."""
    if not sweep.settings:
        return [], []
    each = max(min(sweep.usual, 5, budget // 2), 1)  # runs of a new cell
    untried = [*_confounded(sweep, runs, replicates, each), *_edges(sweep, each), *_repeats(sweep)]
    made, dropped = _within(untried, budget)
    left = budget - sum(len(s.cells) for s in made)
    more, beyond = _within([*_ties(sweep, left), *_empty_cells(sweep, each)], left)
    return made + more, dropped + beyond


def _redo(sweep: _Sweep, runs: pl.DataFrame, lost: pl.DataFrame) -> Iterator[_Suggestion]:
    """Suggests to make lost runs once more, with their settings and seeds; of the best settings first, then of unknown ones."""
    if not lost.height or not sweep.settings:
        return
    names = [*sweep.keys, *([sweep.seed] if sweep.seed else [])]
    rows = keyed(runs, names).join(lost, on="run_id").sort("run_id")
    known = {s.values: (i, s) for i, s in enumerate(sweep.settings)}
    cells: dict[tuple[object, ...], list[dict[str, object]]] = {}
    for row in rows.iter_rows(named=True):
        cells.setdefault(tuple(row[k] for k in sweep.keys), []).append(row)
    for values, own in sorted(cells.items(), key=lambda item: known[item[0]][0] if item[0] in known else len(known)):
        setting = known[values][1] if values in known else _Setting(values, 0, 0.0, None)
        reasons = listed(list(dict.fromkeys(str(row["why"]) for row in own)), 2)
        why = f"{sweep.shown(setting)} lost {count_of(len(own), 'run')} ({reasons}) and has {setting.n} left"
        found = _found(sweep, sweep.settings[0].n, setting.n + len(own), len(own))
        yield _Suggestion("redo", why, tuple({n: row[n] for n in names} for row in own), found)


def _within(suggestions: Iterable[_Suggestion], budget: int) -> tuple[list[_Suggestion], list[_Suggestion]]:
    """Returns the suggestions within the budget, in order, and the others."""
    made: list[_Suggestion] = []
    dropped: list[_Suggestion] = []
    for s in suggestions:
        if len(s.cells) <= budget:
            budget -= len(s.cells)
            made.append(s)
        else:
            dropped.append(s)
    return made, dropped


def _cell(sweep: _Sweep, setting: _Setting) -> dict[str, object]:
    return dict(zip(sweep.keys, setting.values, strict=True))


def _found(sweep: _Sweep, n_a: int, n_b: int, more: int) -> float | None:
    """Returns the detectable difference after ``more`` runs."""
    if sweep.deviation is None:
        return None
    return detectable(sweep.deviation, n_a, n_b, sweep.degrees + more)


def _confounded(sweep: _Sweep, runs: pl.DataFrame, replicates: Sequence[str], n: int) -> Iterator[_Suggestion]:
    """For perfectly confounded hyperparameters: the best cell, with all but the first at the values of the next best level."""
    settings = settings_among(runs, two_valued(runs), replicates)
    # what only some runs have belongs to their level of another, as momentum to an optimizer
    names = [n for n in settings if not runs[n].null_count()]
    for first, *others in (c for c in same_split(runs, names) if len(c) > 1 and c[0] in sweep.keys):
        key, best = sweep.keys.index(first), sweep.settings[0]
        rival = next((s.values[key] for s in sweep.settings if s.values[key] != best.values[key]), None)
        away = keyed(runs, [first, *others]).filter(pl.col(first) == rival)
        if not away.height:
            continue
        cell = {**_cell(sweep, best), **{n: away[n][0] for n in others}}
        why = f"{first} and {listed(others)} split the runs alike: no run tells which of them matters"
        yield _Suggestion("confounded", why, sweep.seeded(cell, n), _found(sweep, best.n, n, n - 1))


def _edges(sweep: _Sweep, n: int) -> Iterator[_Suggestion]:
    """Suggests the next value beyond a range if the best setting and the best mean over the others lie at its end."""
    best = sweep.settings[0]
    for i, name in enumerate(sweep.keys):
        told = [s.values[i] for s in sweep.settings]
        levels = sorted({float(v) for v in told if isinstance(v, int | float) and not isinstance(v, bool)})
        here = best.values[i]
        if len(levels) < 3 or here not in (levels[0], levels[-1]):
            continue
        ends = levels if here == levels[-1] else levels[::-1]
        beyond = _beyond(ends, whole=all(isinstance(v, int) for v in told if v is not None))
        if beyond is None or _mean_at(sweep, i, ends[-1]) >= _mean_at(sweep, i, ends[-2]):
            continue
        why = f"the best {name} is {_text(here)}, the end of its range ({_text(levels[0])} to {_text(levels[-1])})"
        yield _Suggestion(
            "edge", why, sweep.seeded({**_cell(sweep, best), name: beyond}, n), _found(sweep, best.n, n, n - 1)
        )


def _mean_at(sweep: _Sweep, key: int, level: object) -> float:
    """Returns the mean over all settings that have this level."""
    own = [s.mean for s in sweep.settings if s.values[key] == level]
    return sum(own) / len(own)


def _beyond(ends: Sequence[float], *, whole: bool) -> float | int | None:
    """Returns the next value after the last two, by their ratio if all have one sign, else by their difference; None if a share
    would leave 0 to 1."""
    last, before = ends[-1], ends[-2]
    ratio = last / before if last * before > 0 else 0.0
    even = abs((ends[-1] - ends[-2]) - (ends[-2] - ends[-3])) <= 1e-6 * abs(ends[-1] - ends[-3])
    value = last * ratio if ratio and not even else 2 * last - before
    share = all(0 <= v <= 1 for v in ends)
    if value * last < 0 or value == last or (value == 0 and last != 0) or (share and max(ends) >= 0.3 and value >= 1):
        return None
    return round(value) if whole else float(f"{value:.3g}")


def _repeats(sweep: _Sweep) -> Iterator[_Suggestion]:
    if sweep.degrees:
        return
    for setting in sweep.settings[:2]:
        why = f"no setting was run twice, so no spread is known; {sweep.shown(setting)} is among the two best"
        yield _Suggestion("repeat", why, sweep.seeded(_cell(sweep, setting), _REPEATS), None)


def _ties(sweep: _Sweep, budget: int) -> Iterator[_Suggestion]:
    """Suggests more seeds of the best and of each rival that ties with it, if that could decide between them."""
    for rival, extra, found in _tied(sweep, budget):
        gap = rival.mean - sweep.settings[0].mean
        if found <= _HOPELESS * gap:
            best = sweep.settings[0]
            lead = f"{sweep.shown(best)} leads {sweep.shown(rival)} by {gap:.4g} (n={best.n} and {rival.n})"
            why = f"{lead}, which is within chance"
            pair = (*sweep.seeded(_cell(sweep, sweep.settings[0]), extra), *sweep.seeded(_cell(sweep, rival), extra))
            yield _Suggestion("tie", why, pair, found)


def _tied(sweep: _Sweep, budget: int) -> Iterator[tuple[_Setting, int, float]]:
    """Yields rivals that tie with the best, the number of further runs for each of the two, and their detectable difference."""
    best, extra = sweep.settings[0], min(budget // 2, 10)
    if not extra:
        return
    for rival in sweep.settings[1 : 1 + _RIVALS]:
        found = _found(sweep, best.n + extra, rival.n + extra, 2 * extra)
        if sweep.deviation and found is not None:
            error = sweep.deviation * math.sqrt(1 / best.n + 1 / rival.n)
            if rival.mean - best.mean < t_quantile(sweep.degrees) * error:
                yield rival, extra, found


def _empty_cells(sweep: _Sweep, n: int) -> Iterator[_Suggestion]:
    """Suggests combinations of levels that were never run, the best prediction first."""
    levels = [sorted({s.values[i] for s in sweep.settings}, key=str) for i in range(len(sweep.keys))]
    if len(levels) < 2 or any(len(own) > _LEVELS for own in levels) or math.prod(map(len, levels)) > _CELLS:
        return
    grand = sum(s.mean for s in sweep.settings) / len(sweep.settings)
    effect = [{v: _mean_at(sweep, i, v) - grand for v in own} for i, own in enumerate(levels)]
    run = {s.values for s in sweep.settings}
    empty = [(grand + sum(e[v] for e, v in zip(effect, c, strict=True)), c) for c in product(*levels) if c not in run]
    best = sweep.settings[0]
    margin = 2 * (sweep.deviation or 0.0)
    for predicted, cell in sorted(empty, key=lambda item: (item[0], str(item[1])))[:_RIVALS]:
        if predicted <= best.mean + margin:
            lacking = f"{len(empty)} of {len(run) + len(empty)} combinations were never run"
            why = f"{lacking}; main effects predict {sweep.sign * predicted:.4g} here"
            named = dict(zip(sweep.keys, cell, strict=True))
            yield _Suggestion("empty_cell", why, sweep.seeded(named, n), _found(sweep, best.n, n, n - 1))


def _notes(sweep: _Sweep, made: Sequence[_Suggestion], dropped: Sequence[_Suggestion], budget: int) -> Iterator[str]:
    if not sweep.settings:
        yield f"No run has a last value of {sweep.metric}: nothing can be suggested."
        return
    best = sweep.settings[0]
    yield (
        f"Best so far: {sweep.shown(best)}, last {sweep.metric} {sweep.sign * best.mean:.5g} (n={best.n}"
        + (
            f"; spread within settings {sweep.deviation:.3g}, {count_of(sweep.degrees, 'degree', 'degrees')} of freedom)."
            if sweep.deviation is not None
            else ")."
        )
    )
    used = sum(len(s.cells) for s in made)
    if not made:
        yield f"Nothing is worth running with {count_of(budget, 'more run')}."
    elif used < budget and not dropped:
        yield f"{share_of(used, budget, 'run')} {verb(budget, 'is', 'are')} suggested; more would decide nothing that is open."
    for rival, extra, found in list(_tied(sweep, budget))[:1]:
        gap = rival.mean - best.mean
        if found > _HOPELESS * gap:
            yield (
                f"{sweep.shown(rival)} is level with the best (gap {gap:.3g}): {count_of(extra, 'more seed')} each could "
                f"show a difference of "
                f"{found:.3g}, so seeds would not decide it."
            )
    if dropped:
        beyond = [f"{s.reason} ({count_of(len(s.cells), 'run')})" for s in dropped]
        yield f"Beyond the budget: {listed(beyond)}."
    if any(s.detectable is not None for s in made):
        yield "detectable: the difference in means found with a power of 80 % (t test at 5 %, equal normal spread in all settings)."
    if made:
        yield "What the settings do not name stays as in the best setting."


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else "null" if value is None else str(value)


def _commands(cells: Sequence[Mapping[str, object]]) -> list[str]:
    """Returns settings as arguments of a command line; repetitions of the previous run are counted."""
    lines = [_command(c) for c in cells]
    return [f"{line} ({lines.count(line)} runs)" if lines.count(line) > 1 else line for line in dict.fromkeys(lines)]


def _command(cell: Mapping[str, object]) -> str:
    """Returns settings as arguments of a command line, quoted for the shell."""
    import shlex

    return " ".join(f"{name}={shlex.quote(_text(value))}" for name, value in cell.items())
