"""Notes of a ranking: the method, ties, spread, broken runs, lucky values, and whether other choices of the analysis agree."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from sweeplens.analyses.coverage import Coverage, listed
from sweeplens.analyses.luck import reading_notes, split_note
from sweeplens.analyses.ranked_groups import (
    RESERVED,
    RankedGroups,
    RankQuestion,
    counted_in,
    group_label,
    leading_group,
)
from sweeplens.analyses.robustness import analysis_choices, broken_runs, robustness_note
from sweeplens.analyses.run_costs import counters_of
from sweeplens.counting import count_of, share_of, verb
from sweeplens.engines.protocol import PointSource

__all__ = ["BROKEN", "SAME_FIRST", "broken_note", "method_notes", "review_notes"]

_NAMED = 3
SAME_FIRST = "The same group is first"
BROKEN = "Some tied groups hold runs that failed or logged NaN:"


def method_notes(
    how: str,
    step: int | None,
    ask: RankQuestion,
    ranked: RankedGroups,
    table: pl.DataFrame,
    cover: Coverage,
    method: str,
    stricter: str = "",
) -> tuple[str, ...]:
    """Returns the notes on the method. ``stricter``: the levels of comparisons with runs that are still running, in words."""
    at = f" (step {step})" if step is not None else ""
    notes = [f"{ask.goal} is better; reduce {how}{at}; each run counts once."]
    notes.append(_tied_note(ranked, table, method, stricter))
    if ranked.spread is not None and ranked.spread.outlying:
        outlying = ranked.spread.outlying
        named = [group_label(ranked.groups.row(i, named=True), _keys_of(ranked)) for i in outlying[:_NAMED]]
        notes.append(f"Spread far above that of other groups: {listed(named, _NAMED, total=len(outlying))}.")
    singles = table.filter(pl.col("n") == 1).height
    if ask.by == "group" and singles:
        notes.append(
            f"{share_of(singles, table.height, 'group')} {verb(table.height, 'has', 'have')} a single run: no interval."
        )
    if cover.marked:
        at_one = step is not None or cover.first_end == cover.last_end
        common = "" if at_one else f" at_step='common' compares at step {cover.first_end}."
        noted = f"So far: {_lowered(cover.note())}" if cover.running else cover.note()
        notes.append(f"{noted} Column unfinished {'marks' if ask.by == 'run' else 'counts'} these runs.{common}")
    lost = int(table["left_out"].sum())
    if lost:
        notes.append(
            f"{count_of(lost, 'run')} of these groups {verb(lost, 'was', 'were')} left out (column left_out), which may "
            f"bias their means."
        )
    return tuple(n for n in notes if n)


def _lowered(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def _tied_note(ranked: RankedGroups, table: pl.DataFrame, method: str, stricter: str) -> str:
    if table.height < 2:
        return ""
    spread = ranked.spread
    if spread is None:
        return "No repeated runs (each group has one run): chance variation is unknown, so tied is null."
    if spread.sd == 0:
        return "Repeated runs gave identical values: there is no spread to test against, so tied is null."
    tied = table.filter(pl.col("tied") & (pl.col("rank") > 1)).height
    first = table["shrunk"][0]
    expected = f" If the first is run again, expect {first:.5g} (shrunk mean)." if first is not None else ""
    verdict = f"{_verdict(tied, table.height - 1)} at the 5 % level{stricter} ({method})."
    return f"{verdict} Standard deviation within groups: {spread.sd:.4g}.{expected}"


def _verdict(tied: int, followers: int) -> str:
    if tied:
        return f"{share_of(tied, followers, 'follower')} {verb(followers, 'ties', 'tie')} with the best"
    others = f"all {followers:,} others" if followers > 1 else "the other"
    return f"The best is significantly better than {others}"


def _keys_of(ranked: RankedGroups) -> list[str]:
    """Returns the hyperparameters of the groups."""
    return [c for c in ranked.groups.columns if c not in (*RESERVED, "group")]


def broken_note(
    runs: pl.DataFrame,
    series: pl.DataFrame,
    ranked: RankedGroups,
    table: pl.DataFrame,
    keys: Sequence[str],
    known: Sequence[str] = (),
) -> tuple[str, ...]:
    """Names the groups that tie with the best and hold broken runs: those that failed or logged NaN, and known ones."""
    broken = sorted({*broken_runs(runs, series), *known})
    counts = ranked.groups.select(
        "n",
        broken=counted_in(ranked.groups, broken),
        tied=table["tied"].fill_null(value=False),
    ).with_row_index("place")
    hit = counts.filter(pl.col("tied") & (pl.col("broken") > 0))
    labels = [
        f"{group_label(ranked.groups.row(p, named=True), keys)} ({b} of {n})"
        for p, n, b in hit.select("place", "n", "broken").head(_NAMED).iter_rows()
    ]
    if not labels:
        return ()
    return (f"{BROKEN} {listed(labels, _NAMED, total=hit.height)}: they may tie because of their spread.",)


def review_notes(
    runs: pl.DataFrame,
    series: pl.DataFrame,
    used: pl.DataFrame,
    points: PointSource,
    ask: RankQuestion,
    ranked: RankedGroups,
    keys: Sequence[str],
    values: pl.DataFrame,
) -> tuple[str, ...]:
    """Returns warnings on lucky readings and on choices by test data, and whether other choices of the analysis agree."""
    groups = ranked.groups.with_row_index("place").select(group="place", run_id="ids").explode("run_id")
    known = series.filter(pl.col("run_id").is_in(used["run_id"].implode()))["metric"].unique().to_list()
    notes = [split_note(ask.metric, known), *reading_notes(ask.how.how, used, points, values, groups)]
    if ask.by == "group" and ranked.groups.height > 1:
        same: list[str] = []
        other: list[tuple[str, str]] = []
        first = group_label(ranked.groups.row(0, named=True), keys)
        mine = runs.filter(pl.col("run_id").is_in(used["run_id"].implode()))
        plain = values.select("run_id", "value")
        for choice in analysis_choices(
            mine, used, points, ask.how, plain, groups, goal=ask.goal, goals=ask.goals, counters=counters_of(series)
        ):
            best = leading_group(runs, choice.values, keys, ask.goal) or first
            same.append(choice.name) if best == first else other.append((choice.name, f"{best} leads"))
        notes.append(robustness_note(same, other, SAME_FIRST))
    return tuple(n for n in notes if n)
