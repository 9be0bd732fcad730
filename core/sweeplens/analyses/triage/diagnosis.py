"""`diagnose`: what went wrong in which run, how bad it is, on what evidence, and what those runs have in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl

from sweeplens.analyses.triage.candidates import DiagnosisOptions, enriched
from sweeplens.analyses.triage.causes import shared_causes
from sweeplens.analyses.triage.context import SEVERITIES, DetectionContext, Finding
from sweeplens.analyses.triage.curves import draw_curves
from sweeplens.analyses.triage.detectors import DETECTORS, NEED_POINTS
from sweeplens.analyses.triage.looked_at import looked_at, looked_at_line
from sweeplens.answers import Answer, Basis
from sweeplens.cancellation import checkpoint
from sweeplens.frames.run_names import with_names

__all__ = ["FINDINGS", "DiagnosisOptions", "diagnose", "severity_lines"]

_MANY, _EXAMPLES = 30, 3  # from so many findings on, the first of each kind lead
_RUINED = ("nan", "divergence", "zero_loss", "runaway")
_EXPLAINED_BY = {
    "plateau": (*_RUINED, "overfit", "ends_early", "crashed", "stalled", "never_learned", "spike"),
    "ends_early": ("crashed", "stalled"),
    "config_length": ("crashed", "stalled", "ends_early", "nan"),
    "overfit": ("nan",),
    "gradients": ("nan", "divergence"),
    "level_shift": (*_RUINED, "overfit"),
    "spike": ("nan", "runaway"),
}
_OF_THE_SETUP = (
    "not_applied", "seed_not_used", "multiple", "same_end", "config_lr", "config_warm_up", "config_schedule", "config_length",
    "config_samples",
)  # fmt: skip
"""Findings that settings and logs disagree, not that a run went badly: no cause is looked for, and such runs count as healthy."""
FINDINGS = {
    "run_id": pl.String(), "finding": pl.String(), "severity": pl.String(), "metric": pl.String(), "step": pl.Int64(),
    "evidence": pl.String(), "shared_cause": pl.String(),
}  # fmt: skip


def diagnose(
    runs: pl.DataFrame,
    series: pl.DataFrame,
    points: pl.LazyFrame | None,
    options: DiagnosisOptions,
    *,
    metrics: Sequence[str] = (),
) -> Answer:
    """One row for each finding, worst first; table ``summary`` has a row for each kind of finding, table ``looked_at`` one for each
    group of detectors with the metrics that it looked at. Of more than thirty findings three of each kind and cause come first.

    ``metrics``: only findings in these, and those of whole runs. Without ``points`` the detectors that need curves are left out.
    """
    asked = series.filter(pl.col("metric").is_in(list(metrics))) if metrics else series
    scene = enriched(runs, asked, options)
    read, left = 0, None
    if points is not None:
        scene, read, left = draw_curves(scene, points, options.max_points)
    found: list[Finding] = []
    with np.errstate(all="ignore"):  # values near the end of the numbers: what overflows is no finding
        for detector in DETECTORS:
            checkpoint()
            found += detector(scene) if points is not None or detector not in NEED_POINTS else ()
    table = _table(_told_once(found), scene)
    skipped = 0 if left is None else left.height
    warnings = (
        (
            f"{skipped} series were not looked at as curves, so divergence, overfitting, spikes or pace in them are not told: "
            "ask for fewer runs or metrics.",
        )
        if skipped
        else ()
    )
    basis = Basis(runs_used=runs.height, points=read, warnings=warnings)
    summary = _summary(table)
    seen = looked_at(scene, left)
    notes = (*_notes(table, summary, scene), looked_at_line(seen))
    return Answer(with_names(_examples_first(table), runs), basis, notes, {"summary": summary, "looked_at": seen})


def _told_once(found: Sequence[Finding]) -> list[Finding]:
    """Without what a graver finding of the same run explains: a plateau after NaN, an early end after a crash."""
    grave = {(f.run_id, f.finding) for f in found if f.severity != "low"}
    return [f for f in found if not any((f.run_id, why) in grave for why in _EXPLAINED_BY.get(f.finding, ()))]


def _table(found: Iterable[Finding], scene: DetectionContext) -> pl.DataFrame:
    """Findings with their shared cause: by severity, then the kind that hits most runs last, so that rare grave ones lead."""
    rows = [(f.run_id, f.finding, f.severity, f.metric, f.step, f.evidence) for f in found]
    columns = {k: v for k, v in FINDINGS.items() if k != "shared_cause"}
    table = pl.DataFrame(rows, schema=columns, orient="row")
    grave = (pl.col("severity") != "low") & pl.col("finding").is_in(_OF_THE_SETUP).not_()
    ill = table.filter(grave)["run_id"].unique().to_list()
    healthy = scene.runs.filter(pl.col("run_id").is_in(ill).not_())["run_id"].to_list()
    kinds = {str(k): ids["run_id"].unique().to_list() for (k,), ids in table.filter(grave).group_by("finding")}
    causes = shared_causes(scene.runs, kinds, healthy, scene.replicates)
    rank = pl.col("severity").replace_strict({s: i for i, s in enumerate(SEVERITIES)}, return_dtype=pl.Int8)
    cause = (
        pl.when(grave)
        .then(pl.col("finding").replace_strict(causes, default="", return_dtype=pl.String))
        .otherwise(pl.lit(""))
    )
    return (
        table.with_columns(shared_cause=cause)
        .with_columns(rank=rank)
        .sort("rank", "finding", "run_id", "metric")
        .drop("rank")
    )


def _examples_first(table: pl.DataFrame) -> pl.DataFrame:
    """The findings; of many, three examples of each kind and cause come first, then the others, each worst first."""
    if table.height <= _MANY:
        return table
    kind = ["finding", "severity", "shared_cause"]
    place = pl.int_range(pl.len()).over(kind)
    return table.with_columns(later=place >= _EXAMPLES).sort("later", maintain_order=True).drop("later")


def _summary(table: pl.DataFrame) -> pl.DataFrame:
    """finding, severity (of its rows), n_runs, shared_cause."""
    order = pl.col("severity").replace_strict({s: i for i, s in enumerate(SEVERITIES)}, return_dtype=pl.Int8)
    counts = table.group_by("finding", "severity").agg(
        n_runs=pl.col("run_id").n_unique(), shared_cause=pl.col("shared_cause").max(),
        examples=pl.col("run_id").unique(maintain_order=True).head(_EXAMPLES),
    )  # fmt: skip
    return (
        counts.with_columns(rank=order).sort("rank", "n_runs", "finding", descending=[False, True, False]).drop("rank")
    )


def _notes(table: pl.DataFrame, summary: pl.DataFrame, scene: DetectionContext) -> tuple[str, ...]:
    if not table.height:
        return (f"Nothing found in {scene.runs.height} run{'s' * (scene.runs.height != 1)}.",)
    ill = table.filter(pl.col("severity") != "low")["run_id"].n_unique()
    mild = table["run_id"].n_unique() - ill
    total = scene.runs.height
    also = f", {mild} other{'s' * (mild > 1)} only of low" if mild else ""
    notes = [f"{ill} of {total} runs have findings of high or medium severity{also}."]
    notes += [f"{severity}: {line}" for severity, line in severity_lines(summary)]
    return (*notes, *_constant_everywhere(scene))


def severity_lines(summary: pl.DataFrame) -> list[tuple[str, str]]:
    """severity and its kinds of findings, with the cause that their runs share; a cause is spelled out once."""
    told: dict[str, str] = {}
    lines: dict[str, list[str]] = {}
    for row in summary.iter_rows(named=True):
        cause = row["shared_cause"]
        before = told.setdefault(cause, row["finding"])
        words = f" [shared: {cause if before == row['finding'] else f'as {before}'}]" if cause else ""
        count = f"{row['n_runs']} run{'s' * (row['n_runs'] > 1)}"
        lines.setdefault(row["severity"], []).append(f"{row['finding']} in {count}{words}")
    return [(severity, "; ".join(parts)) for severity, parts in lines.items()]


def _constant_everywhere(scene: DetectionContext) -> tuple[str, ...]:
    still = (pl.col("min") == pl.col("max")) & (pl.col("n_finite") >= scene.thresholds.min_points)
    names = scene.series.group_by("metric").agg(still.all()).filter("min")["metric"].sort().to_list()
    return (f"Constant in every run: {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}.",) if names else ()
