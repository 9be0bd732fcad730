"""Detectors that need only the runs and series frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from sweeplens.analyses.coverage import listed
from sweeplens.analyses.rungs import rungs_of
from sweeplens.analyses.triage.context import DetectionContext, Finding, number
from sweeplens.analyses.triage.metric_kinds import is_length
from sweeplens.analyses.triage.pairs import words
from sweeplens.counting import count_of, share_of, verb
from sweeplens.frames.grouping import varying_hparams
from sweeplens.frames.schemas import ENDED_WITH

__all__ = ["constant", "crashed", "ends_early", "most_rewound", "nan", "rewind", "short", "stalled"]

_ENDED_BADLY = {"failed": "high", "crashed": "high", "killed": "medium"}
_PEERS = 4  # runs that must agree on a length before a shorter one is a finding
_AGREE = 0.6


def nan(context: DetectionContext) -> Iterator[Finding]:
    """Finds the first NaN or infinite value of a run, and the metric that had it first.

    high: a metric with a goal, or one that was finite before, ends with such values. medium: such a metric has these values
    and recovers. low: only at the beginning (no value yet), or only in metrics without a goal that recover.
    """
    bad = context.series.filter((pl.col("n_nan") + pl.col("n_inf")) > 0).with_columns(severity=_nonfinite_severity())
    rank = pl.col("severity").replace_strict({"high": 0, "medium": 1, "low": 2}, return_dtype=pl.Int8)
    losses_first = pl.col("goal").replace_strict({"lower": 0, "higher": 1}, default=2, return_dtype=pl.Int8)
    order = bad.with_columns(rank=rank, aim=losses_first).sort("run_id", "rank")
    for (run_id,), rows in order.group_by("run_id", maintain_order=True):
        first, *others = rows.sort("first_nonfinite_step", "rank", "aim", "metric").iter_rows(named=True)
        yield Finding(
            str(run_id),
            "nan",
            rows["severity"][0],
            first["metric"],
            first["first_nonfinite_step"],
            _nonfinite(first, others),
        )


def _nonfinite_severity() -> pl.Expr:
    aimed = pl.col("goal") != "unknown"
    ends = pl.col("last").is_finite().not_()
    warming_up = pl.col("first").is_finite().not_() & ends.not_()
    return (
        pl.when(ends & (aimed | (pl.col("n_finite") > 0))).then(pl.lit("high"))
        .when(aimed & warming_up.not_()).then(pl.lit("medium"))
        .otherwise(pl.lit("low"))
    )  # fmt: skip


def _nonfinite(first: Mapping[str, Any], others: list[dict[str, Any]]) -> str:
    parts = [f"{first['n_nan']} NaN" if first["n_nan"] else "", f"{first['n_inf']} infinite" if first["n_inf"] else ""]
    text = f"{' and '.join(p for p in parts if p)} of {first['n']} values from step {first['first_nonfinite_step']}"
    finite = first["last_finite"] is not None and first["last_finite_step"] < first["last_step"]
    text += f" to the end, {number(first['last_finite'])} at {first['last_finite_step']} before" if finite else ""
    at_once = [o["metric"] for o in others if o["first_nonfinite_step"] == first["first_nonfinite_step"]]
    later = [f"{o['metric']} at {o['first_nonfinite_step']}" for o in others[len(at_once) :]]
    text += f"; with it {listed(at_once)}" if at_once else ""
    return text + (f"; then {listed(later)}" if later else "")


def rewind(context: DetectionContext) -> Iterator[Finding]:
    """The step went back while logging, as when a run resumes from a checkpoint. low: the last value of each step counts.

    medium: more than half of what was logged was written again.
    """
    for row in most_rewound(context.series).iter_rows(named=True):
        again = row["n_logged"] - row["n"]
        severity = "medium" if again > row["n"] else "low"
        times = "once" if row["rewinds"] == 1 else f"{row['rewinds']} times"
        step = context.rewound_to.get((row["run_id"], row["metric"]))
        yield Finding(
            row["run_id"],
            "rewind",
            severity,
            row["metric"],
            step,
            f"went back {times}; {share_of(again, row['n_logged'], 'point')} {verb(row['n_logged'], 'was', 'were')} written again",
        )


def most_rewound(series: pl.DataFrame) -> pl.DataFrame:
    """Returns for each run that went back and wrote steps again the series with most overwritten points."""
    again = pl.col("n_logged") - pl.col("n")
    rows = series.filter((pl.col("rewinds") > 0) & (again > 0)).sort("run_id", -again, "metric")
    return rows.unique("run_id", keep="first", maintain_order=True)


def crashed(context: DetectionContext) -> Iterator[Finding]:
    """The run did not end well. high: its status is failed or crashed; medium: killed, or its file ends in the middle of a line."""
    torn = pl.col("run_id").is_in(list(context.torn)) & pl.col("status").is_in(["finished", "running"]).not_()
    ended = context.runs.select("run_id", "status", "n_steps", torn=torn).filter(
        pl.col("status").is_in(list(_ENDED_BADLY)) | pl.col("torn")
    )
    lasts, said = _last_steps(context, ended["run_id"]), _last_words(context.runs)
    for run_id, status, n_steps, is_torn in ended.iter_rows():
        text = (
            ("no status was logged" if status == "unknown" else f"status {status}")
            + (f": {said[run_id]}" if run_id in said else "")
            + ("; its file ends in the middle of a line" if is_torn else "")
            + ("" if n_steps else "; it logged no point")
        )
        yield Finding(run_id, "crashed", _ENDED_BADLY.get(status, "medium"), "", lasts.get(run_id), text)


def _last_words(runs: pl.DataFrame) -> dict[str, str]:
    """Returns what the programs of these runs printed on why they failed or were killed."""
    column = f"metadata.{ENDED_WITH}"
    return dict(runs.select("run_id", column).drop_nulls().iter_rows()) if column in runs.columns else {}


def _last_steps(context: DetectionContext, runs: pl.Series) -> dict[str, int]:
    """Returns the last step of each of these runs that logged any."""
    mine = context.series.filter(pl.col("run_id").is_in(runs.implode())) if len(runs) else context.series.head(0)
    return dict(mine.group_by("run_id").agg(pl.col("run_last").first()).iter_rows())


def stalled(context: DetectionContext) -> Iterator[Finding]:
    """high: a run whose status is running was silent for longer than ``live_seconds`` and ``silent_steps`` of its own steps."""
    running = context.runs.filter(pl.col("status") == "running").select("run_id", "updated_at", "created_at", "n_steps")
    lasts = _last_steps(context, running["run_id"])
    for row in running.iter_rows(named=True):
        silent = (context.now - row["updated_at"]).total_seconds()
        lasted = (row["updated_at"] - row["created_at"]).total_seconds() if row["created_at"] else 0.0
        gap = max(lasted, 0.0) / max(row["n_steps"] - 1, 1)
        if silent > max(context.live_seconds, context.thresholds.silent_steps * gap):
            text = (
                f"status running, silent for {_duration(silent)}; a step took {_duration(gap)}"
                if gap
                else f"status running, silent for {_duration(silent)}"
            )
            yield Finding(row["run_id"], "stalled", "high", "", lasts.get(row["run_id"]), text)


def short(context: DetectionContext) -> Iterator[Finding]:
    """A run without a status ended before ``early_stop_share`` of the usual length of runs like it.

    Runs are alike if they have the same format and the same configured numbers of steps or epochs. Usual are the most frequent
    length and lengths at least a quarter as frequent. At least four runs, and 60 %, must have reached the shortest usual
    length. Runs that end on the rungs of a search have none. medium: fewer than a tenth of the runs share its length. low: more
    do, so it may be intended.
    """
    lasts = context.series.group_by("run_id").agg(pl.col("run_last").first())
    if rungs_of(context.runs, context.series) is not None:  # a search stopped them
        return
    planned = [n for n in varying_hparams(context.runs) if is_length(n)]
    table = context.runs.select("run_id", "status", "format", *planned).join(lasts, on="run_id")
    for _, runs in table.group_by("format", *planned):
        yield from _short_of(runs, context.thresholds.early_stop_share)


def _short_of(runs: pl.DataFrame, share: float) -> Iterator[Finding]:
    """Yields the short ones among runs that should have about the same length."""
    lengths = runs.filter(pl.col("run_last") > 0)["run_last"].value_counts()
    usual = lengths.filter((pl.col("count") >= 3) & (4 * pl.col("count") >= pl.col("count").max()))
    if not usual.height:
        return
    full = int(str(usual["run_last"].min()))
    reached = runs.filter(pl.col("run_last") >= full).height
    if reached < max(_PEERS, _AGREE * runs.height):
        return
    odd = runs.filter((pl.col("status") == "unknown") & (pl.col("run_last") < share * full)).join(
        lengths, on="run_last", how="left"
    )
    for run_id, last, count in odd.sort("run_id").select("run_id", "run_last", "count").iter_rows():
        alike = f"; {count} runs end there" if (count or 0) > 1 else ""
        severity = "medium" if 10 * (count or 0) < runs.height or (count or 0) < 3 else "low"
        text = f"last step {last}; {share_of(reached, runs.height, 'run')} reached {full} or more{alike}"
        yield Finding(run_id, "ends_early", severity, "", last, text)


def ends_early(context: DetectionContext) -> Iterator[Finding]:
    """A metric stops before ``early_stop_share`` of its run's steps, though in most runs it goes on.

    Only series of three points or more that missed three of their own intervals; one row a run. medium: at least three other
    runs have the metric to the end. low: fewer do.
    """
    share = pl.col("last_step") / pl.col("run_last")
    gap = (pl.col("last_step") - pl.col("first_step")) / (pl.col("n") - 1)
    table = context.series.filter((pl.col("n") >= 3) & (pl.col("run_last") > 0)).with_columns(share=share, gap=gap)
    peers = table.with_columns(
        usual=pl.col("share").median().over("metric"),
        whole=(pl.col("share") >= context.thresholds.early_stop_share).sum().over("metric"),
    )
    odd = peers.filter(
        (pl.col("share") < context.thresholds.early_stop_share * pl.col("usual"))
        & (pl.col("run_last") - pl.col("last_step") > 3 * pl.col("gap"))
        & (pl.col("whole") > 0)
    )
    for (run_id,), rows in odd.sort("run_id", "last_step", "metric").group_by("run_id", maintain_order=True):
        row = rows.row(0, named=True)
        severity = "medium" if (rows["whole"] >= 3).any() else "low"
        place = f"last at step {row['last_step']} of {row['run_last']}"
        text = (
            f"{place} ({count_of(row['n'], 'point')}, one every {row['gap']:.4g} steps); in "
            f"{count_of(row['whole'], 'other run')} it goes on"
        )
        text += f"; also {', '.join(rows['metric'][1:4])}" if rows.height > 1 else ""
        text += f" and {rows.height - 4} more" if rows.height > 4 else ""
        yield Finding(str(run_id), "ends_early", severity, row["metric"], row["last_step"], text)


def constant(context: DetectionContext) -> Iterator[Finding]:
    """A metric with a goal, or a gradient norm, never changes over ``min_points`` steps, though it does in most other runs.

    medium: with a goal, away from 0, 1 and 100, which a perfect score may hold; or a loss that is 0 from the first step on, though
    it is not in nine of ten runs: a term that was left out. low: any other. Constant everywhere is a note.
    """
    told = (pl.col("goal") != "unknown") | pl.col("metric").str.to_lowercase().str.contains("grad")
    still = (pl.col("min") == pl.col("max")) & (pl.col("n_finite") >= context.thresholds.min_points)
    table = context.series.with_columns(still=still.fill_null(value=False))
    moving = table.group_by("metric").agg(moving=pl.col("still").not_().sum(), runs=pl.len())
    for row in (
        table.filter(told & pl.col("still"))
        .join(moving.filter(2 * pl.col("moving") > pl.col("runs")), on="metric")
        .sort("run_id", "metric")
        .iter_rows(named=True)
    ):
        rare = row["moving"] >= 0.9 * row["runs"]
        left_out = row["min"] == 0.0 and rare and "loss" in words(row["metric"])
        stuck = row["goal"] != "unknown" and (row["min"] not in (0.0, 1.0, 100.0) or left_out)
        text = (
            f"{number(row['min'])} at all {count_of(row['n_finite'], 'step')}; it changes in "
            f"{share_of(row['moving'], row['runs'], 'run')}"
        )
        yield Finding(row["run_id"], "constant", "medium" if stuck else "low", row["metric"], row["first_step"], text)


def _duration(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
