"""Finds duplicate runs, which hold the same curves: one run recorded by two tools, a copied folder, an exact rerun.

    find_duplicates(series)                 -> groups of duplicate runs, from the series frame alone
    counted_twice(doubles, runs, counted)   -> the warning of an answer in which several runs of a group count

A series is identified by its number of finite values, its first, last, least and largest value in single precision (as
TensorBoard stores them), and its mean and deviation within that rounding. Names and steps are not compared because tools
differ in both. Counters, clocks and schedules are ignored because all runs of a sweep share them. Two runs are duplicates if
most curves of the run with fewer are found in the other, and no metric with a goal contradicts it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import polars as pl
from msgspec import Struct

from sweeplens.analyses.coverage import listed
from sweeplens.frames.goals import outcome_goal
from sweeplens.frames.schemas import hparam_columns

__all__ = ["DuplicateRuns", "counted_twice", "find_duplicates"]

_NAMED = 4  # groups, and runs of a group, that the warning names beside the first group
_LEAST_VALUES, _LEAST_SHORT = 3, 5  # for values with many digits; with few digits, which can be equal by chance
_ENDS = ("first", "last_finite", "min", "max")
_SINGLE = 2e-7  # largest error of a mean or deviation by rounding to single precision, relative to the largest value
_COPIES, _LONGEST = 3, 160  # copies, and characters of their names, that a condition spells out
_DIGITS = 4  # values with no more (an accuracy over 100 images) are equal by chance
_LEAST_ENDS = 0.85  # distinct last values per curve; six runs over 15 equally likely values have fewer
_METRICS, _VALUES = "#metrics", "#values"  # columns beside those of the runs frame
_SCHEDULED = frozenset(
    "lr learning wd decay momentum epsilon temperature progress epoch epochs step steps iter iters iteration iterations "
    "timestep timesteps updates episodes samples tokens time timestamp runtime elapsed eta second seconds sec fps "
    "throughput speed memory mem gpu cpu".split()
)


class DuplicateRuns(Struct, frozen=True):
    """Run ids in order, and the least number of curves that two of them share."""

    runs: tuple[str, ...]
    curves: int


def find_duplicates(series: pl.DataFrame) -> tuple[DuplicateRuns, ...]:
    """Returns groups of duplicate runs, in order of their first run; each run is in one at most.

    ``series``: the rows of a run are contiguous.
    """
    known = _informative(series)
    alike = known.filter(pl.col("key").is_duplicated())
    if not alike.height:  # the usual case
        return ()
    counts = _counted(known)
    known = known.filter(pl.col("run").is_in(alike["run"].unique().implode()))
    curves = _with_shape(known, counts)
    pairs = _mostly_alike(_candidates(curves), curves)
    pairs = pairs.join(_contradicted(pairs, known), on=["a", "b"], how="anti").sort("a", "b")
    names = series["run_id"].rle().struct.field("value")
    return _grouped(pairs.with_columns(names.gather(pairs[side]).alias(side) for side in "ab"))


def _informative(series: pl.DataFrame) -> pl.DataFrame:
    """Returns varying, long enough series, without counters, clocks and schedules by name: run (a number), metric, key."""
    names = [m for m in series["metric"].unique().to_list() if not _is_scheduled(m)]
    values = pl.col("n") - pl.col("n_nan") - pl.col("n_inf")
    single = [pl.col(c).cast(pl.Float32).fill_nan(None) + 0.0 for c in _ENDS]  # -0.0 becomes 0.0
    return (
        series.lazy()
        .with_columns(run=pl.col("run_id").rle_id())
        .filter(values >= _LEAST_VALUES, pl.col("min").cast(pl.Float32) < pl.col("max").cast(pl.Float32))
        .filter(pl.col("metric").is_in(names))
        .select("run", "metric", *_ENDS, "mean", "std", n=values, key=pl.struct(values, *single).hash())
        .collect()
    )


def _is_scheduled(metric: str) -> bool:
    """Whether a metric is a counter, clock or schedule by name; ``train_loss_epoch`` is not, since it has a goal."""
    return not _SCHEDULED.isdisjoint(re.split(r"[^a-z]+", metric.lower())) and outcome_goal(metric) == "unknown"


def _counted(known: pl.DataFrame) -> list[str]:
    """Returns metrics with few distinct values (correct answers of 270): different curves often end in the same value."""
    last = pl.col("last_finite").cast(pl.Float32).n_unique()
    ends = known.group_by("metric").agg(ratio=last / pl.col("key").n_unique())
    return ends.filter(pl.col("ratio") < _LEAST_ENDS)["metric"].to_list()


def _with_shape(known: pl.DataFrame, counts: Sequence[str]) -> pl.DataFrame:
    """Returns run, fine (too many digits to be equal by chance), and shape, a number that equal curves share."""
    fine = pl.any_horizontal(_is_long(pl.col(c)) for c in _ENDS[1:]) & pl.col("metric").is_in(counts).not_()
    curves = known.with_columns(fine=fine).filter(_is_curve()).sort("key", "mean", "std")
    apart = [(pl.col(c) - pl.col(c).shift()).abs() > _room() for c in ("mean", "std")]
    other = pl.any_horizontal(pl.col("key") != pl.col("key").shift(), *apart)
    return curves.select("run", "fine", shape=other.fill_null(value=True).cum_sum())


def _room() -> pl.Expr:
    """Returns the tolerance for mean and deviation of a copy in single precision."""
    return pl.max_horizontal(pl.col("min").abs(), pl.col("max").abs()) * _SINGLE


def _is_long(value: pl.Expr) -> pl.Expr:
    """Whether a number has more than a few significant digits, apart from single precision rounding."""
    return (value - value.round_sig_figs(_DIGITS)).abs() > value.abs() * _SINGLE


def _is_curve() -> pl.Expr:
    """Whether a series is not a straight line and, if it has few digits, is long and has an extreme between its ends."""
    first, last, least, most = (pl.col(c).cast(pl.Float32) for c in _ENDS)
    between = ((first == least) | (first == most)) & ((last == least) | (last == most))
    span, n = pl.col("max") - pl.col("min"), pl.col("n")
    even = (n * (n + 1) / 12).sqrt() / (n - 1)  # the deviation of n even steps from 0 to 1
    straight = (pl.col("std") - span * even).abs() <= _room()
    enough = pl.col("fine") | (pl.col("n") >= _LEAST_SHORT)
    return enough & (between.not_() | (pl.col("fine") & straight.not_()))


def _candidates(curves: pl.DataFrame) -> pl.DataFrame:
    """Returns a, b: each run with the first run that shares a curve with it; their number is linear in that of curves."""
    first = curves.group_by("shape").agg(a=pl.col("run").min())
    return first.join(curves, on="shape").filter(pl.col("a") != pl.col("run")).select("a", b="run").unique()


def _mostly_alike(pairs: pl.DataFrame, curves: pl.DataFrame) -> pl.DataFrame:
    """Returns a, b, shared: pairs where the run with fewer curves shares most of them, at least one of them fine.

    At least two curves are shared; one is enough if the run has no other.
    """
    sizes = curves.group_by("run").agg(size=pl.len())
    for side in "ab":
        pairs = pairs.join(sizes.rename({"run": side, "size": f"size_{side}"}), on=side)
    smaller = pl.col("size_a") <= pl.col("size_b")
    pairs = pairs.with_columns(
        size=pl.min_horizontal("size_a", "size_b"),
        small=pl.when(smaller).then("a").otherwise("b"),
        large=pl.when(smaller).then("b").otherwise("a"),
    )
    held = pairs.join(curves, left_on="small", right_on="run")
    held = held.join(curves, left_on=["large", "shape"], right_on=["run", "shape"], how="semi")
    counted = held.group_by("a", "b", "size").agg(pl.col("fine").any(), shared=pl.len())
    enough = (pl.col("shared") > 1) | (pl.col("size") == 1)
    return counted.filter("fine", enough, 2 * pl.col("shared") > pl.col("size")).select("a", "b", "shared")


def _contradicted(pairs: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Returns a, b: pairs with equally many but different values of a metric with a goal: they only share a data set."""
    names = [m for m in known["metric"].unique().to_list() if outcome_goal(m) != "unknown"]
    goals = known.filter(pl.col("metric").is_in(names)).select("run", "metric", "n", "key")
    both = pairs.join(goals, left_on="a", right_on="run")
    both = both.join(goals, left_on=["b", "metric", "n"], right_on=["run", "metric", "n"], suffix="_b")
    return both.filter(pl.col("key") != pl.col("key_b"))


def _grouped(pairs: pl.DataFrame) -> tuple[DuplicateRuns, ...]:
    """Merges pairs that share a run into groups."""
    home: dict[str, list[str]] = {}
    for a, b in pairs.select("a", "b").iter_rows():
        less, more = sorted((home.setdefault(a, [a]), home.setdefault(b, [b])), key=len)
        if less is not more:
            more += less
            home |= dict.fromkeys(less, more)
    least: dict[int, int] = {}
    for a, shared in pairs.select("a", "shared").iter_rows():
        least[id(home[a])] = min(shared, least.get(id(home[a]), shared))
    groups = {id(group): group for group in home.values()}
    return tuple(sorted((DuplicateRuns(tuple(sorted(g)), least[i]) for i, g in groups.items()), key=lambda d: d.runs))


def counted_twice(
    doubles: Sequence[DuplicateRuns],
    runs: pl.DataFrame,
    counted: pl.DataFrame | None = None,
    *,
    without: Iterable[str] = (),
    conditions: bool = True,
    series: pl.DataFrame | None = None,
) -> tuple[str, ...]:
    """Returns a warning if several duplicate runs count in an answer over ``runs``.

    ``series``: all series of the runs, by which the fuller one of a group is known.

    ``counted``: rows of the series frame that the answer uses; runs that share no metric there do not count twice.
    ``without``: runs left out. ``conditions``: whether the question takes a condition, which the warning then suggests.
    """
    if not doubles:
        return ()
    placed = {run: i for i, double in enumerate(doubles) for run in double.runs}
    of_double = pl.DataFrame({"run_id": list(placed), "double": list(placed.values())})
    used = runs.filter(pl.col("run_id").is_in(list(without)).not_())
    members = used.select("run_id", "format").join(of_double, on="run_id")
    if counted is None:
        members = members.filter(pl.len().over("double") > 1)
    else:
        used = used.join(counted, on="run_id", how="semi")
        members = members.join(counted.select("run_id", "metric"), on="run_id")
        members = members.filter(pl.len().over("double", "metric") > 1)
    members = members.unique(["double", "run_id"]).sort("double", "run_id")
    if not members.height:
        return ()
    about = used if series is None else used.join(_fullness(series), on="run_id", how="left")
    return (_sentence(doubles, members, about, conditions),)


def _fullness(series: pl.DataFrame) -> pl.DataFrame:
    """Returns run_id, and the numbers of metrics and of values of each run."""
    return series.group_by("run_id").agg(pl.len().alias(_METRICS), pl.col("n").sum().alias(_VALUES))


def _sentence(doubles: Sequence[DuplicateRuns], members: pl.DataFrame, used: pl.DataFrame, conditions: bool) -> str:
    """Words the warning; the advice comes first because long sentences are cut at the end."""
    groups = members.group_by("double", maintain_order=True).agg("run_id", "format")
    many, first = groups.height, groups.row(0, named=True)
    if members.height > 2 * many:
        who = f"{many} groups of runs" if many > 1 else f"{members.height} runs"
        times = "more than once" if many > 1 else f"{members.height} times"
    else:
        who, times = f"{many} pairs of runs" if many > 1 else "2 runs", "twice"
    condition = _condition(members, used, many) or _by_name(members, used) if conditions else ""
    advice = condition or "leave out all but one of each"
    named = [f"{run!r} ({kind})" for run, kind in zip(first["run_id"], first["format"], strict=True)]
    both = " and ".join(named) if len(named) == 2 else listed(named)
    curves = doubles[int(first["double"])].curves
    example = f"{'the first: ' * (many > 1)}{both}, {curves} equal curve{'s' * (curves != 1)}"
    others = [
        " = ".join(runs if len(runs) <= _NAMED else [*runs[:_NAMED], "..."]) for runs in groups["run_id"][1:].to_list()
    ]
    more = f"; then {listed(others, _NAMED)}" if others else ""
    return f"{who} hold the same curves and count {times}: {advice}; {example}{more}"


def _condition(members: pl.DataFrame, used: pl.DataFrame, groups: int) -> str:
    """Returns a condition that keeps one run of each group, and most other runs; empty if no simple one does."""
    hparams = [c for c in hparam_columns(used) if c not in (_METRICS, _VALUES)]
    full = [pl.col(c) if c in used.columns else pl.lit(0).alias(c) for c in (_METRICS, _VALUES)]
    about = used.select(
        "run_id",
        "format",
        *full,
        folder=pl.col("run_id").str.extract(r"^([^/]+)/"),
        known=pl.sum_horizontal(pl.col(c).is_not_null() for c in hparams) if hparams else pl.lit(0),
    )
    inside = about.join(members.select("run_id", "double"), on="run_id")
    for kind, text in (("format", "format <> '{}'"), ("folder", "NOT starts_with(run_id, '{}/')")):
        for value, others in _spare(about, inside, kind, groups):
            kept = inside.filter(pl.col(kind).ne_missing(value))
            if kept["double"].n_unique() == groups and _are_fullest(kept, inside):
                quoted = value.replace("'", "''")
                also = f", but drops {others} other run{'s' * (others > 1)}" if others else ""
                return f'where="{text.format(quoted)}" keeps one of each{also}'
    return ""


def _by_name(members: pl.DataFrame, used: pl.DataFrame) -> str:
    """Returns a condition that names the later copies, the less full ones of each group; empty if they are many or long."""
    order = [c for c in (_METRICS, _VALUES, "created_at") if c in used.columns]
    about = members.select("double", "run_id").join(used.select("run_id", *order), on="run_id")
    later = [c == "created_at" for c in order]
    placed = about.sort(
        "double", *order, "run_id", descending=[False, *(not own for own in later), False], nulls_last=True
    )
    spare = placed.filter(pl.int_range(pl.len()).over("double") > 0)["run_id"].to_list()
    named = ", ".join("'" + run.replace("'", "''") + "'" for run in spare)
    if len(spare) > _COPIES or len(named) > _LONGEST:
        return ""
    return f'where="run_id {"<> " + named if len(spare) == 1 else f"NOT IN ({named})"}" keeps one of each'


def _are_fullest(kept: pl.DataFrame, inside: pl.DataFrame) -> bool:
    """Whether the kept run of each group has no fewer hyperparameters and metrics than any other, nor fewer values of them."""
    most = inside.group_by("double").agg(pl.col("known", _METRICS, _VALUES).max().name.suffix("_most"))
    pairs = kept.join(most, on="double")
    fewer = (pl.col("known") < pl.col("known_most")) | (pl.col(_METRICS) < pl.col(f"{_METRICS}_most"))
    return not pairs.filter(fewer | (pl.col(_VALUES) < pl.col(f"{_VALUES}_most"))).height


def _spare(about: pl.DataFrame, inside: pl.DataFrame, kind: str, groups: int) -> list[tuple[str, int]]:
    """Returns formats (or folders) with all but one run of each group, and their numbers of other runs; the best first.

    The best has fewer known hyperparameters, then fewer other runs, then single precision.
    """
    held = about.group_by(kind).agg(pl.len(), pl.col("known").mean())
    held = held.join(inside.group_by(kind).agg(inside=pl.len()), on=kind)
    held = held.with_columns(others=pl.col("len") - pl.col("inside"))
    held = held.filter(pl.col("inside") == inside.height - groups, pl.col("others") <= groups)
    best = held.sort("known", "others", pl.col(kind) != "tensorboard", kind)
    return list(zip(best[kind].to_list(), best["others"].to_list(), strict=True))
