"""Rungs: the steps at which a search (successive halving, ASHA, Hyperband) stops most of its trials.

Trials that end on a lower rung did not fail. Their last values are those of a shorter training, so that runs of different rungs are
compared at one rung.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import polars as pl
from msgspec import Struct

from sweeplens.analyses.coverage import listed
from sweeplens.analyses.levels import levels_of
from sweeplens.analyses.missing_runs import tail_of_draws
from sweeplens.analyses.statistics import ALPHA
from sweeplens.frames.grouping import settings_among, varying_hparams

__all__ = ["Rungs", "ends_vary", "ladder_text", "rung_warning", "rungs_of"]

_ENDED = ("finished", "pruned", "unknown")
_FEWEST_RUNGS, _MOST_RUNGS = 3, 8
_FEWEST_RUNS = 8
_ON_LADDER = 0.9  # share of the runs that end on a rung
_CUT = 1.5  # times as many runs end on the first rung as on the second; smallest ratio of two rungs
_EVEN = 1.25  # largest ratio of two ratios of neighbouring rungs
_MOST_LEVELS, _TOLD = 12, 3


class Rungs(Struct, frozen=True):
    """The rungs, the number of runs that end on each, and a table of the runs of the search: run_id, end.

    Runs beside the search, of groups in which all runs have the same end, are on a rung but not in the table.
    """

    ends: tuple[int, ...]
    counts: tuple[int, ...]
    table: pl.DataFrame

    def counted(self) -> str:
        """Returns the rungs with their counts: ``3 (101 runs), 9 (22), 27 (11)``."""
        return ", ".join(
            f"{end} ({n}{' runs' * (i == 0)})" for i, (end, n) in enumerate(zip(self.ends, self.counts, strict=True))
        )

    def all_logged(self, series: pl.DataFrame, metrics: Sequence[str]) -> bool:
        """Whether nearly all runs with one of these metrics have a value of it by the first rung."""
        own = series.filter(pl.col("metric").is_in(list(metrics[:1])))
        early = own.filter(pl.col("first_step") <= self.ends[0])
        return bool(own.height) and early.height >= _ON_LADDER * own.height


def rungs_of(runs: pl.DataFrame, series: pl.DataFrame) -> Rungs | None:
    """Returns the rungs on which these runs end: three to eight steps with about equal ratios, fewer runs on each (but perhaps for
    the last). None where there are none, or where one setting decides at which step a run ends.
    """
    if not ends_vary(series):
        return None
    lasts = series.group_by("run_id").agg(end=pl.col("last_step").max())
    group = pl.col("group") if "group" in runs.columns else pl.lit("")
    table = runs.filter(pl.col("status").is_in(_ENDED)).select("run_id", group=group).join(lasts, on="run_id")
    if table.height < _FEWEST_RUNS:
        return None
    counts = table["end"].value_counts().sort("end")
    rungs = counts.filter((pl.col("count") > 1) | (pl.col("end") == pl.col("end").max()))
    ends, sizes = tuple(rungs["end"].to_list()), tuple(rungs["count"].to_list())
    if not _is_ladder(ends, sizes) or sum(sizes) < _ON_LADDER * table.height or _decided(runs, table):
        return None
    several = table.filter(pl.col("end").n_unique().over("group") > 1)
    return Rungs(ends, sizes, (several if several.height else table).select("run_id", "end"))


def ends_vary(series: pl.DataFrame) -> bool:
    """Whether the last steps differ at all, which costs next to nothing to see."""
    return series["last_step"].min() != series["last_step"].max()


def _is_ladder(ends: Sequence[int], counts: Sequence[int]) -> bool:
    if not _FEWEST_RUNGS <= len(ends) <= _MOST_RUNGS or ends[0] < 0 or counts[0] < _CUT * counts[1]:
        return False
    falls = all(more >= fewer for more, fewer in pairwise(counts[:-1]))
    return falls and any(_is_even([end + one for end in ends]) for one in (0, 1))  # steps may be counted from 0


def _is_even(ends: Sequence[int]) -> bool:
    ratios = [after / before for before, after in pairwise(ends) if before > 0]
    return len(ratios) == len(ends) - 1 and min(ratios) >= _CUT and max(ratios) <= _EVEN * min(ratios)


def _decided(runs: pl.DataFrame, table: pl.DataFrame) -> bool:
    """Returns whether all runs with the same value of one setting end at the same step, as where it is their length."""
    own = runs.filter(pl.col("run_id").is_in(table["run_id"].implode()))
    names = [n for n in varying_hparams(own) if own[n].n_unique() <= min(_MOST_LEVELS, own.height // 2)]
    placed = own.select("run_id", *names).join(table, on="run_id")
    return any(placed.group_by(n).agg(pl.col("end").n_unique())["end"].max() == 1 for n in names)


def ladder_text(
    runs: pl.DataFrame, series: pl.DataFrame, rungs: Rungs, replicates: Sequence[str], metric: str, goal: str
) -> str:
    """Returns the line of an overview: the rungs, the levels that are cut most, and how to compare.

    ``metric``: the main one, in which a level that is cut most may be the better one on the last rung.
    """
    ends = series.filter(pl.col("metric") == metric).select("run_id", "last_step", value="last_finite")
    last = runs.join(ends.filter(pl.col("last_step") == rungs.ends[-1]), on="run_id") if metric else runs.head(0)
    told = [text + _on_last_rung(last, level, metric, goal) for text, level in _cut_most(runs, rungs, replicates)]
    cut = f". Beyond the first rung: {listed(told, _TOLD)}" if told else ""
    return (
        f"runs end at steps {rungs.counted()}: a search stops them there, so that they did not fail{cut}. Last values on "
        f"different rungs are not comparable: rank_runs(at_step={rungs.ends[0]}) compares all runs at the first"
    )


def _cut_most(
    runs: pl.DataFrame, rungs: Rungs, replicates: Sequence[str]
) -> Iterator[tuple[str, tuple[str, pl.Series]]]:
    """Yields the settings of which one level goes beyond the first rung significantly less often: the share of each level in words;
    and the setting with the runs of that level.
    """
    own = runs.join(rungs.table.select("run_id"), on="run_id", how="semi").sort("run_id")
    beyond = rungs.table.sort("run_id")["end"] > rungs.ends[0]
    n, more = own.height, int(beyond.sum())
    names = settings_among(own, varying_hparams(own), replicates)
    found: list[tuple[float, str, str, pl.Series]] = []
    for name in sorted(names):
        levels = levels_of(own[name])
        codes = pl.Series("code", levels.codes)
        counts = pl.DataFrame([codes, beyond.alias("hit")]).group_by("code").agg(pl.len(), pl.col("hit").sum())
        rows: list[tuple[int, int, int]] = counts.sort("code").rows()
        p, code = min((tail_of_draws(size - hit, size, n - more, n), code) for code, size, hit in rows)
        parts = [f"{name}={levels.names[code]} {hit} of {size}" for code, size, hit in rows]
        p *= len(levels.names) * len(names)
        text = f"{', '.join(parts)} (p {p:.2g}, corrected over levels)"
        found.append((p, text, name, own[name].filter(codes == code).unique()))
    yield from ((text, (name, level)) for p, text, name, level in sorted(found, key=lambda f: f[:2]) if p < ALPHA)


def _on_last_rung(last: pl.DataFrame, level: tuple[str, pl.Series], metric: str, goal: str) -> str:
    """Returns a clause if the runs of the level that is cut most are the better ones on the last rung; else nothing."""
    name, values = level
    if name not in last.columns or goal not in ("lower", "higher"):
        return ""
    here = pl.col(name).is_in(values.implode()).fill_null(value=values.null_count() > 0)
    own, others = last.filter(here)["value"].drop_nulls(), last.filter(here.not_())["value"].drop_nulls()
    one, other = own.mean(), others.mean()
    if (
        not isinstance(one, float)
        or not isinstance(other, float)
        or (one > other) != (goal == "higher")
        or one == other
    ):
        return ""
    return (
        f", though runs of the level that is cut most are the better ones in {metric} on the last rung "
        f"(mean {one:.5g} over {own.len()}, others {other:.5g} over {others.len()})"
    )


def rung_warning(runs: pl.DataFrame, series: pl.DataFrame, used: Sequence[str]) -> tuple[str, ...]:
    """Warns that runs behind an answer end on different rungs of a search."""
    chosen = pl.col("run_id").is_in(pl.Series(used, dtype=pl.String).implode())
    own = series if len(used) == runs.height else series.filter(chosen)
    rungs = rungs_of(runs if len(used) == runs.height else runs.filter(chosen), own)
    if rungs is None:
        return ()
    return (
        f"runs end on rungs of a search, at steps {rungs.counted()}: values after unequal training are compared; "
        f"reduce='at_step:{rungs.ends[0]}' compares all at the first rung",
    )
