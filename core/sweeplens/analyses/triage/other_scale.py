"""Finds a metric that some settings log on another scale: its ratio to the same quantity of another split differs between levels.

The reward of an evaluation in a normalised environment is a hundredth of the reward of the rollouts, and an accuracy in percent a
hundred times one that is a fraction. Runs on both sides of such a setting cannot be compared by that metric. Overfitting and
divergence change the ratio too, but not from the first value on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import polars as pl
from msgspec import Struct

from sweeplens.analyses.coverage import listed
from sweeplens.analyses.triage.context import ROBUST, DetectionContext, Finding, number
from sweeplens.analyses.triage.pairs import SPLITS, is_validation, words
from sweeplens.frames.grouping import keyed, settings_among, task_hparams, varying_hparams
from sweeplens.frames.metadata_tasks import with_task

__all__ = ["other_scale", "scale_twins"]

_FACTOR = math.log(5)
_SPREAD = _FACTOR / 3  # robust deviation of log ratios within a level
_BASES = (
    math.log(1 / math.log(2)),
    math.log(math.log(10)),
    math.log(math.log2(10)),
)  # ln to log2, log10 to ln, log10 to log2
_BASE_SPREAD, _BASE_RUNS = 0.03, 3
_FEWEST, _DEFINED = 2, 0.8  # runs of a level; share of the runs whose two values have one sign
_MOST_LEVELS, _MOST_HPARAMS, _NAMED = 8, 40, 3
_KINDS = ("last", "mean", "first")
_QUANTITIES = {
    "reward": "reward rewards rew return returns ret",
    "loss": "loss",
    "accuracy": "accuracy acc",
    "perplexity": "perplexity ppl",
}
_QUANTITY_OF = {word: quantity for quantity, own in _QUANTITIES.items() for word in own.split()}
_WITHOUT_MEANING = SPLITS | frozenset(
    "testing heldout rollout ep episode episodes episodic rollouts final last".split()
)
_TEST = frozenset({"test", "testing", "heldout", "holdout"})
_TELLING = frozenset(
    "eval evaluation norm normalize normalise normalized vecnormalize scale reward percent reduction".split()
)


class _Split(Struct, frozen=True):
    """A hyperparameter whose levels log the ratio on two scales; log ratios of both are medians over tasks."""

    hparam: str
    odd: tuple[str, ...]
    usual: tuple[str, ...]
    ratio_odd: float
    ratio_usual: float
    spread: float


def scale_twins(metrics: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yields each held-out metric with the same quantity in training; a test metric without one with that in validation."""
    known = {m: measure for m in sorted(metrics, key=lambda m: (len(words(m)), m)) if (measure := _measure(m))}
    for metric in (m for m in known if _held_out(m)):
        alike = [m for m in known if m != metric and known[m] == known[metric]]
        training = [m for m in alike if not _held_out(m)]
        validation = [m for m in alike if _held_out(m) and not _TEST & set(words(m)) and _TEST & set(words(metric))]
        yield from ((metric, twin) for twin in (training or validation)[:1])


def _held_out(metric: str) -> bool:
    return is_validation(metric) or bool(_TEST & set(words(metric)))


def _measure(metric: str) -> frozenset[str]:
    """Returns the words of a name that say what is measured; empty where that is no quantity with a scale."""
    own = frozenset(_QUANTITY_OF.get(w, w) for w in words(metric) if w not in _WITHOUT_MEANING | _TEST)
    return own if own & set(_QUANTITIES) else frozenset()


def other_scale(context: DetectionContext) -> Iterator[Finding]:
    """medium: the ratio of a held-out metric to the same quantity in training differs between the levels of a setting, within each
    task, by a factor of 5 or more (or by that between two bases of the logarithm), at its first and last value and in the mean.

    Two runs or more of each level, with little spread within it. The runs of the levels whose ratio is farther from 1 have it.
    """
    for metric, twin in scale_twins(context.series["metric"].unique().to_list()):
        ratios = _ratios(context, metric, twin)
        if ratios.height:
            yield from _apart(context, metric, twin, ratios)


def _ratios(context: DetectionContext, metric: str, twin: str) -> pl.DataFrame:
    """Returns run_id, task, the last values of both, and the log ratios; empty where they differ by less than any known factor."""
    columns = {"last": "last_finite", "mean": "mean", "first": "first"}
    one, other = (
        context.series.filter(pl.col("metric") == m).select("run_id", **{f"{k}_{side}": c for k, c in columns.items()})
        for m, side in ((metric, "a"), (twin, "b"))
    )
    both = one.join(other, on="run_id")
    quotient = {k: pl.col(f"{k}_a") / pl.col(f"{k}_b") for k in _KINDS}
    logs = [pl.when(q > 0, q.is_finite()).then(q.log()).alias(k) for k, q in quotient.items()]
    table = both.with_columns(logs)
    known = table.drop_nulls(["last", "mean"])
    if known.height < max(2 * _FEWEST, _DEFINED * table.height):
        return table.head(0)
    span = known.select(pl.col("last").max() - pl.col("last").min()).item()
    if span < min(_BASES) - _BASE_SPREAD:
        return table.head(0)
    return known.join(_tasks(context), on="run_id")


def _tasks(context: DetectionContext) -> pl.DataFrame:
    """Returns run_id, task."""
    runs = with_task(context.runs, context.tasks)
    names = task_hparams(runs, context.tasks)
    texts = [pl.col(n).cast(pl.String).fill_null("") for n in names]
    return keyed(runs, names).select("run_id", task=pl.concat_str(texts, separator=", ") if texts else pl.lit(""))


def _apart(context: DetectionContext, metric: str, twin: str, ratios: pl.DataFrame) -> Iterator[Finding]:
    runs = context.runs.filter(pl.col("run_id").is_in(ratios["run_id"].implode()))
    found = [s for name in _candidates(context, runs) if (s := _split(keyed(runs, [name]), name, ratios))]
    if not found:
        return
    best = min(found, key=lambda s: _rank(s, runs[s.hparam]))
    table = ratios.join(_levels(keyed(runs, [best.hparam]), best.hparam), on="run_id")
    odd = table.filter(pl.col("level").is_in(list(best.odd)))
    usual = table.filter(pl.col("level").is_in(list(best.usual)))
    moved = _differs_more(odd, usual)
    named = metric if moved == "a" else twin
    only = _only_there(runs, odd["run_id"], best.hparam)
    levels = [f"{best.hparam}={listed(own, _NAMED)}" for own in (best.odd, best.usual)]
    sizes = f"median {number(_median(odd, 'last_a'))} against {number(_median(odd, 'last_b'))}"
    text = (
        f"{metric} is {_times(best.ratio_odd)} {twin} with {levels[0]} ({sizes}), but {_times(best.ratio_usual)} it with "
        f"{levels[1]}: "
        f"{named} is on another scale there{_reason(abs(best.ratio_odd - best.ratio_usual))}"
        + (f" (set only there: {', '.join(only)})" if only else "")
        + f"; do not compare the two by {named}"
    )
    yield from (Finding(run, "other_scale", "medium", named, None, text) for run in odd["run_id"].sort().to_list())


def _times(ratio: float) -> str:
    return f"{math.exp(ratio):.3g} times"


def _rank(split: _Split, values: pl.Series) -> tuple[object, ...]:
    """Returns the order of settings that all separate the two scales: set in all runs, texts, little spread, few levels."""
    levels = len(split.odd) + len(split.usual)
    return values.null_count(), values.dtype.is_numeric(), round(split.spread, 2), levels


def _differs_more(odd: pl.DataFrame, usual: pl.DataFrame) -> str:
    """Returns which of the two metrics differs more between the two sides: that one has the other scale."""
    size = {side: abs(math.log(_median(odd, f"last_{side}") / _median(usual, f"last_{side}"))) for side in ("a", "b")}
    return max(size, key=lambda side: size[side])


def _median(table: pl.DataFrame, column: str) -> float:
    return max(float(str(table[column].abs().median())), 1e-300)


def _reason(gap: float) -> str:
    if abs(gap - math.log(100)) < 0.1:
        return ", probably in percent against a fraction"
    if min(abs(gap - base) for base in _BASES) < _BASE_SPREAD:
        return ", probably in another base of the logarithm"
    return ", probably normalised, or a sum against a mean"


def _candidates(context: DetectionContext, runs: pl.DataFrame) -> list[str]:
    """Returns the settings with two to eight levels that are no task."""
    tasks = set(task_hparams(runs, context.tasks))
    names = settings_among(runs, [n for n in varying_hparams(runs) if n not in tasks], context.replicates)
    return [n for n in names if runs[n].n_unique() <= _MOST_LEVELS][:_MOST_HPARAMS]


def _levels(table: pl.DataFrame, hparam: str) -> pl.DataFrame:
    """Returns run_id, level: the value as text."""
    return table.select("run_id", level=pl.col(hparam).cast(pl.String).fill_null("(not set)"))


def _split(table: pl.DataFrame, hparam: str, ratios: pl.DataFrame) -> _Split | None:
    """Returns the levels of this hyperparameter on each of two scales, if they are the same in all tasks."""
    rows = ratios.join(_levels(table, hparam), on="run_id")
    centre = pl.col("last").median()
    groups = rows.group_by("task", "level").agg(
        pl.len().alias("n"),
        *(pl.col(k).median().alias(k) for k in _KINDS),
        known=pl.col("first").count(),
        spread=ROBUST * (pl.col("last") - centre).abs().median(),
    )
    groups = groups.filter(pl.col("n") >= _FEWEST).sort("task", "last")
    if not groups.height and ratios["task"].n_unique() > 1:  # one run of each level and task
        return _split(table, hparam, ratios.with_columns(task=pl.lit("")))
    if not groups.height or float(str(groups["spread"].max())) > _SPREAD:
        return None
    parts = [part for _, part in groups.group_by("task", maintain_order=True) if part.height > 1]
    cuts = [cut for part in parts if (cut := _cut(part))]
    if not cuts:
        return None
    low, high = ({level for cut in cuts for level in cut[side]} for side in (0, 1))
    mixed = [p for p in parts if set(p["level"]) & low and set(p["level"]) & high]
    if low & high or len(mixed) > len(cuts):
        return None
    means = {name: _mean_of(mixed, own) for name, own in (("low", low), ("high", high))}
    odd, usual = ("low", "high") if abs(means["low"]) > abs(means["high"]) else ("high", "low")
    of_side = {"low": tuple(sorted(low)), "high": tuple(sorted(high))}
    return _Split(hparam, of_side[odd], of_side[usual], means[odd], means[usual], float(str(groups["spread"].mean())))


def _mean_of(parts: Sequence[pl.DataFrame], levels: set[str]) -> float:
    own = [v for p in parts for v in p.filter(pl.col("level").is_in(list(levels)))["last"].to_list()]
    return sum(own) / len(own)


def _cut(part: pl.DataFrame) -> tuple[list[str], list[str]] | None:
    """Returns the levels of one task below and above the largest gap, if the gap is one of scale in all three readings."""
    lasts: list[float] = part["last"].to_list()
    at = max(range(1, len(lasts)), key=lambda i: lasts[i] - lasts[i - 1])
    below, above = part.head(at), part.tail(len(lasts) - at)
    enough = 2 * int(str(part["known"].sum())) >= int(str(part["n"].sum()))
    gaps = [_gap(below, above, kind) for kind in (_KINDS if enough else _KINDS[:2])]
    tight = float(str(part["spread"].max())) <= _BASE_SPREAD and int(str(part["n"].min())) >= _BASE_RUNS
    of_base = tight and any(all(abs(g - base) < _BASE_SPREAD for g in gaps) for base in _BASES)
    return (below["level"].to_list(), above["level"].to_list()) if of_base or min(gaps) >= _FACTOR else None


def _gap(below: pl.DataFrame, above: pl.DataFrame, kind: str) -> float:
    """Returns the difference of the mean log ratios of both sides; the smallest one between two levels for the last values."""
    if kind == "last":
        return float(str(above["last"].min())) - float(str(below["last"].max()))
    low, high = below[kind].mean(), above[kind].mean()
    return high - low if isinstance(low, float) and isinstance(high, float) else 0.0


def _only_there(runs: pl.DataFrame, odd: pl.Series, hparam: str) -> list[str]:
    """Returns the settings that only these runs have, with their value if it is one; those whose name tells of a scale first."""
    here = pl.col("run_id").is_in(odd.implode())
    told: Mapping[str, list[object]] = {
        n: runs.filter(here)[n].drop_nulls().unique().sort().to_list()
        for n in varying_hparams(runs)
        if n != hparam and runs[n].null_count() and not runs.filter(here.not_())[n].count()
    }
    order = sorted(told, key=lambda n: (not _TELLING & set(words(n)), n))
    return [f"{n}={told[n][0]}" if len(told[n]) == 1 else n for n in order if told[n]][:_NAMED]
