"""Suggests which runs to make next with a budget of runs: `suggest`, a pure function over frames.

    redo         runs that were cut off or are copies of another run: the same settings and seeds once more
    missing      a setting has fewer repetitions than most others: the seeds that it lacks
    repeat       no setting was repeated, so the spread is unknown: more seeds of the two best
    tie          settings that tie with the best: more seeds of both
    confounded   perfectly confounded hyperparameters: the cells that separate them
    edge         the best value of a numeric hyperparameter is its largest or smallest: the next value beyond
    empty_cell   combinations that were never run and are predicted (adding up main effects) to be about as good as the best

Runs with settings that always failed in the same way are not suggested (`failing_settings`). Each suggestion states the difference
in means that its runs could detect: a two-sided t test at 5 % with a power of 80 % (noncentral t), with the spread pooled over
settings with repetitions, which is taken to be equal in all and normal.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import product

import polars as pl

from sweeplens.analyses.coverage import listed, series_of, with_config
from sweeplens.analyses.duplicate_runs import DuplicateRuns
from sweeplens.analyses.failing_settings import FailingCell, failing_cells
from sweeplens.analyses.lost_runs import lost_runs
from sweeplens.analyses.noise import pooled_spread
from sweeplens.analyses.printed_warnings import ignored_notes
from sweeplens.analyses.repetitions import HOPELESS, missing_repetitions, redone, repeats, tied, ties
from sweeplens.analyses.sweep_settings import (
    SettingResults,
    Suggestion,
    SweepSettings,
    cell_of,
    detectable,
    detectable_after,
    value_text,
    within_budget,
)
from sweeplens.answers import Answer, Basis, LeftOut
from sweeplens.counting import count_of, share_of, verb
from sweeplens.engines.protocol import PointSource
from sweeplens.errors import InputError
from sweeplens.frames.goals import goal_of
from sweeplens.frames.grouping import group_hparams, is_replicate, keyed, same_split, settings_among, two_valued
from sweeplens.frames.reduction import DEFAULT_REDUCE, parse_reduce, reduce_runs

__all__ = ["SUGGESTIONS", "detectable", "suggest"]

SUGGESTIONS = {
    "reason": pl.String(), "n_runs": pl.Int64(), "why": pl.String(), "detectable": pl.Float64(), "settings": pl.List(pl.String()),
}  # fmt: skip
_RIVALS = 3
_LEVELS = 6
_CELLS = 500
_MOST = 200


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
    goal = goal_of(metric, goal, goals)
    reduced = reduce_runs(
        series_of(metric, series).join(whole.select("run_id"), on="run_id", how="semi"),
        points,
        parse_reduce(DEFAULT_REDUCE),
        goals=goals,
        goal=goal,
    )
    sweep = _sweep(whole, reduced.values, metric, goal, replicates)
    failing = failing_cells(runs, replicates)
    hopeless = [run for cell in failing for run in cell.runs]
    again = list(redone(sweep, runs, lost.filter(pl.col("run_id").is_in(hopeless).not_())))
    first, beyond = within_budget(again, (budget + 1) // 2)
    made, dropped = _chosen(sweep, whole, replicates, budget - _size(first), again, failing)
    made, dropped = [*first, *made], [*beyond, *dropped]
    rows = [(s.reason, len(s.cells), s.why, s.detectable, _commands(s.cells)) for s in made]
    why = "no result of their setting, cut off or copies"
    not_used = (LeftOut(why, tuple(lost["run_id"].to_list())),) if lost.height else ()
    basis = Basis(runs_used=sum(s.n for s in sweep.settings), left_out=(*left_out, *not_used, *reduced.left_out))
    notes = (
        *_notes(sweep, made, dropped, budget),
        *_without_value(sweep, whole, reduced.values),
        *_failing_notes(failing),
        *ignored_notes(runs, sweep.keys),
    )
    return Answer(pl.DataFrame(rows, schema=SUGGESTIONS, orient="row"), basis, notes)


def _size(suggestions: Sequence[Suggestion]) -> int:
    """Returns the number of runs."""
    return sum(len(s.cells) for s in suggestions)


def _failing_notes(failing: Sequence[FailingCell]) -> Iterator[str]:
    yield from (f"Not to be made once more: {cell.told()}." for cell in failing)


def _without_value(sweep: SweepSettings, runs: pl.DataFrame, values: pl.DataFrame) -> Iterator[str]:
    """Yields how many runs of the best setting have no finite value: a setting that often fails is not the best."""
    if not sweep.settings or not sweep.keys:
        return
    best = pl.DataFrame([cell_of(sweep, sweep.settings[0])])
    table = keyed(runs, sweep.keys)
    texts = [pl.col(k).cast(pl.String) for k in sweep.keys]
    own = table.with_columns(texts).join(best.with_columns(texts), on=sweep.keys, how="semi", nulls_equal=True)
    lacking = own.join(values, on="run_id", how="anti")
    if lacking.height:
        named = listed(lacking["run_id"].sort().to_list(), 3)
        share = share_of(lacking.height, own.height, "run")
        yield f"{share} of the best setting {verb(lacking.height, 'has', 'have')} no finite {sweep.metric} ({named})."


def _sweep(
    runs: pl.DataFrame, values: pl.DataFrame, metric: str, goal: str, replicates: Sequence[str]
) -> SweepSettings:
    """Returns the settings from best to worst. ``values``: run_id, value."""
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
        SettingResults(tuple(r[k] for k in keys), r["n."], r["mean."], r["var."]) for r in groups.iter_rows(named=True)
    ) if table.height else ()  # fmt: skip
    spread = pooled_spread([s.n for s in settings], [s.variance for s in settings])
    seed = _seed(known, replicates) or _seed(runs, replicates)
    top = int(str(runs[seed].max())) if seed else 0
    return SweepSettings(
        metric, sign, tuple(keys), settings, spread.sd if spread else None, spread.df if spread else 0, seed, top + 1
    )


def _seed(runs: pl.DataFrame, replicates: Sequence[str]) -> str:
    """Returns the first whole number that marks repetitions and varies; empty if there is none."""
    numbers = (n for n in two_valued(runs) if runs[n].dtype.is_integer())
    return next((n for n in numbers if is_replicate(runs, n, replicates)), "")


def _chosen(
    sweep: SweepSettings, runs: pl.DataFrame, replicates: Sequence[str], budget: int, again: Sequence[Suggestion],
    failing: Sequence[FailingCell],
) -> tuple[list[Suggestion], list[Suggestion]]:  # fmt: skip
    """Returns the suggestions within the budget, in order, and the others: repetitions first, then seeds that decide a tie, then
    untried settings. Where there is a tie, untried settings get half of what is left.
    """
    if not sweep.settings:
        return [], []
    redone_cells = frozenset(tuple(cell[k] for k in sweep.keys) for s in again for cell in s.cells)
    made, dropped = within_budget([*missing_repetitions(sweep, runs, redone_cells), *repeats(sweep)], budget)
    left = budget - _size(made)
    each = max(min(sweep.usual, 5, left // 2), 1)  # runs of a new cell
    cells = [*_confounded(sweep, runs, replicates, each), *_edges(sweep, each), *_empty_cells(sweep, each)]
    untried = [s for s in cells if not any(f.holds(cell) for f in failing for cell in s.cells)]
    share = left // 2 if any(True for _ in ties(sweep, left)) else left
    new, beyond = within_budget(untried, share)
    left -= _size(new)
    decided, undecided = within_budget(ties(sweep, left), left)
    return [*made, *decided, *new], [*dropped, *undecided, *beyond]


def _confounded(sweep: SweepSettings, runs: pl.DataFrame, replicates: Sequence[str], n: int) -> Iterator[Suggestion]:
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
        cell = {**cell_of(sweep, best), **{n: away[n][0] for n in others}}
        why = f"{first} and {listed(others)} split the runs alike: no run tells which of them matters"
        yield Suggestion("confounded", why, sweep.seeded(cell, n), detectable_after(sweep, best.n, n, n - 1))


def _edges(sweep: SweepSettings, n: int) -> Iterator[Suggestion]:
    """Suggests the next value beyond a range if the best setting and the best mean over the others lie at its end."""
    best = sweep.settings[0]
    for i, name in enumerate(sweep.keys):
        told = [s.values[i] for s in sweep.settings]
        levels = sorted({float(v) for v in told if isinstance(v, int | float) and not isinstance(v, bool)})
        here = best.values[i]
        if len(levels) < 2 or here not in (levels[0], levels[-1]):
            continue
        ends = levels if here == levels[-1] else levels[::-1]
        if len(levels) == 2 and not _has_slope(sweep, i, ends):
            continue
        beyond = _beyond(ends, whole=all(isinstance(v, int) for v in told if v is not None))
        if beyond is None or _mean_at(sweep, i, ends[-1]) >= _mean_at(sweep, i, ends[-2]):
            continue
        why = f"the best {name} is {value_text(here)}, the end of its range ({value_text(levels[0])} to {value_text(levels[-1])})"
        yield Suggestion(
            "edge",
            why,
            sweep.seeded({**cell_of(sweep, best), name: beyond}, n),
            detectable_after(sweep, best.n, n, n - 1),
        )


def _has_slope(sweep: SweepSettings, key: int, ends: Sequence[float]) -> bool:
    """Whether the better of two levels, of which one is always at an end, is better by more than the spread of a run. A switch
    (0 and 1) has no value beyond."""
    gap = _mean_at(sweep, key, ends[0]) - _mean_at(sweep, key, ends[1])
    return 0 not in ends and gap > (sweep.deviation or 0.0)


def _mean_at(sweep: SweepSettings, key: int, level: object) -> float:
    """Returns the mean over all settings that have this level."""
    own = [s.mean for s in sweep.settings if s.values[key] == level]
    return sum(own) / len(own)


def _beyond(ends: Sequence[float], *, whole: bool) -> float | int | None:
    """Returns the next value after the last two, by their ratio if all have one sign, else by their difference; None if a share
    would leave 0 to 1."""
    last, before = ends[-1], ends[-2]
    ratio = last / before if last * before > 0 else 0.0
    even = len(ends) > 2 and abs((ends[-1] - ends[-2]) - (ends[-2] - ends[-3])) <= 1e-6 * abs(ends[-1] - ends[-3])
    value = last * ratio if ratio and not even else 2 * last - before
    share = all(0 <= v <= 1 for v in ends)
    if value * last < 0 or value == last or (value == 0 and last != 0) or (share and max(ends) >= 0.3 and value >= 1):
        return None
    return round(value) if whole else float(f"{value:.3g}")


def _empty_cells(sweep: SweepSettings, n: int) -> Iterator[Suggestion]:
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
            yield Suggestion("empty_cell", why, sweep.seeded(named, n), detectable_after(sweep, best.n, n, n - 1))


def _notes(
    sweep: SweepSettings, made: Sequence[Suggestion], dropped: Sequence[Suggestion], budget: int
) -> Iterator[str]:
    if not sweep.settings:
        yield f"No run has a finite value of {sweep.metric}: nothing can be suggested."
        return
    best = sweep.settings[0]
    yield (
        f"Best so far: {sweep.shown(best)}, {sweep.metric} {sweep.sign * best.mean:.5g} (reduce {DEFAULT_REDUCE}, n={best.n}"
        + (
            f"; spread within settings {sweep.deviation:.3g}, {count_of(sweep.degrees, 'degree', 'degrees')} of freedom)."
            if sweep.deviation is not None
            else ")."
        )
    )
    used = _size(made)
    if not made:
        yield f"Nothing is worth running with {count_of(budget, 'more run')}."
    elif used < budget and not dropped:
        yield f"{share_of(used, budget, 'run')} {verb(budget, 'is', 'are')} suggested; more would decide nothing that is open."
    for rival, extra, found in list(tied(sweep, budget))[:1]:
        gap = rival.mean - best.mean
        if found > HOPELESS * gap:
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


def _commands(cells: Sequence[Mapping[str, object]]) -> list[str]:
    """Returns settings as arguments of a command line; repetitions of the previous run are counted."""
    lines = [_command(c) for c in cells]
    return [f"{line} ({lines.count(line)} runs)" if lines.count(line) > 1 else line for line in dict.fromkeys(lines)]


def _command(cell: Mapping[str, object]) -> str:
    """Returns settings as arguments of a command line, quoted for the shell."""
    import shlex

    return " ".join(f"{name}={shlex.quote(value_text(value))}" for name, value in cell.items())
