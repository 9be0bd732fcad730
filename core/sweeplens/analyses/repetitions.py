"""Suggests repetitions of settings that were run: lost runs once more, missing repetitions, and seeds that decide a tie."""

from __future__ import annotations

import math
from collections.abc import Iterator

import polars as pl

from sweeplens.analyses.coverage import listed
from sweeplens.analyses.statistics import t_quantile
from sweeplens.analyses.sweep_settings import (
    SettingResults,
    Suggestion,
    SweepSettings,
    cell_of,
    detectable_after,
)
from sweeplens.counting import count_of
from sweeplens.frames.grouping import keyed

__all__ = ["HOPELESS", "missing_repetitions", "redone", "repeats", "tied", "ties"]

HOPELESS = 4.0
"""Largest detectable difference, in multiples of the gap, that is worth more seeds."""
_REPEATS = 2  # more seeds of a setting that was run once
_RIVALS = 3
_FEWER = 3  # settings with fewer repetitions than most that are named
_MOST_SETTINGS = 0.5  # share of the settings that have the usual number of runs


def redone(sweep: SweepSettings, runs: pl.DataFrame, lost: pl.DataFrame) -> Iterator[Suggestion]:
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
        setting = known[values][1] if values in known else SettingResults(values, 0, 0.0, None)
        reasons = listed(list(dict.fromkeys(str(row["why"]) for row in own)), 2)
        why = f"{sweep.shown(setting)} lost {count_of(len(own), 'run')} ({reasons}) and has {setting.n} left"
        found = detectable_after(sweep, sweep.settings[0].n, setting.n + len(own), len(own))
        yield Suggestion("redo", why, tuple({n: row[n] for n in names} for row in own), found)


def repeats(sweep: SweepSettings) -> Iterator[Suggestion]:
    if sweep.degrees:
        return
    for setting in sweep.settings[:2]:
        why = f"no setting was run twice, so no spread is known; {sweep.shown(setting)} is among the two best"
        yield Suggestion("repeat", why, sweep.seeded(cell_of(sweep, setting), _REPEATS), None)


def ties(sweep: SweepSettings, budget: int) -> Iterator[Suggestion]:
    """Suggests more seeds of the best and of each rival that ties with it, if that could decide between them."""
    for rival, extra, found in tied(sweep, budget):
        gap = rival.mean - sweep.settings[0].mean
        if found <= HOPELESS * gap:
            best = sweep.settings[0]
            lead = f"{sweep.shown(best)} leads {sweep.shown(rival)} by {gap:.4g} (n={best.n} and {rival.n})"
            why = f"{lead}, which is within chance"
            pair = (
                *sweep.seeded(cell_of(sweep, sweep.settings[0]), extra),
                *sweep.seeded(cell_of(sweep, rival), extra),
            )
            yield Suggestion("tie", why, pair, found)


def tied(sweep: SweepSettings, budget: int) -> Iterator[tuple[SettingResults, int, float]]:
    """Yields rivals that tie with the best, the number of further runs for each of the two, and their detectable difference."""
    best, extra = sweep.settings[0], min(budget // 2, 10)
    if not extra:
        return
    for rival in sweep.settings[1 : 1 + _RIVALS]:
        found = detectable_after(sweep, best.n + extra, rival.n + extra, 2 * extra)
        if sweep.deviation and found is not None:
            error = sweep.deviation * math.sqrt(1 / best.n + 1 / rival.n)
            if rival.mean - best.mean < t_quantile(sweep.degrees) * error:
                yield rival, extra, found


def missing_repetitions(
    sweep: SweepSettings, runs: pl.DataFrame, redone_cells: frozenset[tuple[object, ...]]
) -> Iterator[Suggestion]:
    """Suggests the seeds that most settings have and a setting lacks, of the best such settings; not of those that are redone."""
    enough = sum(s.n >= sweep.usual for s in sweep.settings)
    if not sweep.seed or sweep.usual < _REPEATS or enough < _MOST_SETTINGS * len(sweep.settings):
        return
    table = keyed(runs, [*sweep.keys, sweep.seed]).drop_nulls(sweep.seed)
    counts = table.group_by(sweep.seed).len().sort("len", sweep.seed, descending=[True, False])
    common = counts[sweep.seed].head(sweep.usual).to_list()
    fewer = [s for s in sweep.settings if s.n < sweep.usual and s.values not in redone_cells]
    for setting in fewer[:_FEWER]:
        own = pl.all_horizontal([pl.col(k).eq_missing(pl.lit(v)) for k, v in cell_of(sweep, setting).items()])
        had = set((table.filter(own) if sweep.keys else table)[sweep.seed].to_list())
        lacking = [seed for seed in sorted(common) if seed not in had][: sweep.usual - setting.n]
        if lacking:
            why = (
                f"{sweep.shown(setting)} has {count_of(setting.n, 'run')}, {enough} of {len(sweep.settings)} settings have "
                f"{sweep.usual}: it lacks {sweep.seed} {listed([str(s) for s in lacking], 4)}"
            )
            cells = tuple({**cell_of(sweep, setting), sweep.seed: seed} for seed in lacking)
            found = detectable_after(sweep, sweep.settings[0].n, setting.n + len(lacking), len(lacking))
            yield Suggestion("missing", why, cells, found)
