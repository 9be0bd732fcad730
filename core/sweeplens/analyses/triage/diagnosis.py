"""`diagnose`: finds what went wrong in each run, with severity and evidence, and what affected runs have in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl

from sweeplens.analyses.triage.candidates import DiagnosisOptions, detection_context
from sweeplens.analyses.triage.causes import shared_causes
from sweeplens.analyses.triage.context import SEVERITIES, DetectionContext, Finding
from sweeplens.analyses.triage.curves import ExaminedCurves, read_curves
from sweeplens.analyses.triage.detectors import DETECTORS, LASTING, NEED_POINTS, Detector
from sweeplens.analyses.triage.looked_at import looked_at, looked_at_line
from sweeplens.analyses.triage.printed import PRINTED
from sweeplens.analyses.triage.source_findings import SOURCE, source_findings
from sweeplens.answers import Answer, Basis
from sweeplens.cancellation import checkpoint
from sweeplens.counting import count_of, share_of, verb
from sweeplens.engines.protocol import PointSource
from sweeplens.frames.run_names import with_names

__all__ = ["FINDINGS", "OF_THE_SETUP", "DiagnosisOptions", "diagnose", "lasting_findings", "severity_lines"]

_RUNS = "runs"  # column: all runs of a finding that stands for several
_MANY, _EXAMPLES = 30, 3  # above so many findings, examples of each kind come first
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
OF_THE_SETUP = (
    "not_applied", "seed_not_used", "multiple", "same_end", "config_lr", "config_warm_up", "config_schedule", "config_length",
    "config_samples", "same_split", "split_overlap", "misspelt", "rescored", "other_scale",
)  # fmt: skip
"""Findings that settings and logs disagree. The runs themselves count as healthy, and no cause is sought."""
FINDINGS = {
    "run_id": pl.String(), "finding": pl.String(), "severity": pl.String(), "metric": pl.String(), "step": pl.Int64(),
    "evidence": pl.String(), "shared_cause": pl.String(),
}  # fmt: skip


def diagnose(
    runs: pl.DataFrame,
    series: pl.DataFrame,
    points: PointSource | None,
    options: DiagnosisOptions,
    *,
    metrics: Sequence[str] = (),
    elsewhere: pl.DataFrame | None = None,
) -> Answer:
    """Returns one row a finding, worst first. Table ``summary`` has a row for each kind of finding, table ``looked_at`` one for
    each group of detectors with its metrics. Of more than thirty findings, three of each kind and cause come first.

    ``metrics``: only findings in these, and findings of whole runs. ``elsewhere``: those of runs that these started from.
    Without ``points`` the detectors that need curves are left out.
    """
    asked = series.filter(pl.col("metric").is_in(list(metrics))) if metrics else series
    context, read = _context(runs, asked, points, options)
    found = _found(context, [d for d in DETECTORS if read or d not in NEED_POINTS])
    if metrics:  # a NaN in another metric explains what this one does after it
        whole = detection_context(runs, series, options)
        found = _unexplained(found, _found(whole, [d for d in DETECTORS if d not in NEED_POINTS]))
    found += source_findings(runs, [*found, *_findings_in(elsewhere)])
    table = _table(found, context, runs)
    skipped = read.left_out if read else 0
    warnings = (
        (
            f"{skipped} series were not looked at as curves, so divergence, overfitting, spikes or pace in them are not told: "
            "ask for fewer runs or metrics.",
        )
        if skipped
        else ()
    )
    basis = Basis(runs_used=runs.height, points=read.points if read else 0, warnings=warnings)
    summary = _summary(table)
    seen = looked_at(context, read.examined if read else None)
    notes = (*_notes(table, summary, context), looked_at_line(seen))
    return Answer(
        with_names(_examples_first(table.drop(_RUNS)), runs), basis, notes, {"summary": summary, "looked_at": seen}
    )


def lasting_findings(
    runs: pl.DataFrame, series: pl.DataFrame, points: PointSource, options: DiagnosisOptions
) -> pl.DataFrame:
    """Returns the findings of `diagnose` that last, without their causes: of the same curves, by fewer detectors."""
    context, _ = _context(runs, series, points, options)
    return _rows(_found(context, LASTING)).drop(_RUNS)


def _context(
    runs: pl.DataFrame, series: pl.DataFrame, points: PointSource | None, options: DiagnosisOptions
) -> tuple[DetectionContext, ExaminedCurves | None]:
    """Returns the context of the detectors, with curves if there are points."""
    context = detection_context(runs, series, options)
    read = None if points is None else read_curves(context, points, options.max_points)
    return read.context if read else context, read


def _found(context: DetectionContext, detectors: Sequence[Detector]) -> list[Finding]:
    """Returns the findings of these detectors, without those that a more severe one explains."""
    found: list[Finding] = []
    with np.errstate(all="ignore"):  # values near the largest float: an overflow is no finding
        for detector in detectors:
            checkpoint()
            found += detector(context)
    return _unexplained(found)


def _unexplained(found: Sequence[Finding], others: Sequence[Finding] = ()) -> list[Finding]:
    """Drops findings that a more severe one of the same run, also among ``others``, explains: a plateau after NaN."""
    grave = {(f.run_id, f.finding) for f in (*found, *others) if f.severity != "low"}
    return [f for f in found if not any((f.run_id, why) in grave for why in _EXPLAINED_BY.get(f.finding, ()))]


def _findings_in(table: pl.DataFrame | None) -> list[Finding]:
    """Returns the findings of a diagnosis."""
    columns = ("run_id", "finding", "severity", "metric", "step", "evidence")
    return [] if table is None else [Finding(**row) for row in table.select(columns).iter_rows(named=True)]


def _rows(found: Iterable[Finding]) -> pl.DataFrame:
    """Returns findings as a table, without their shared cause; with all runs of a finding that stands for several."""
    rows = [(f.run_id, f.finding, f.severity, f.metric, f.step, f.evidence, f.runs or None) for f in found]
    columns = {**{k: v for k, v in FINDINGS.items() if k != "shared_cause"}, _RUNS: pl.List(pl.String)}
    return pl.DataFrame(rows, schema=columns, orient="row")


def _table(found: Iterable[Finding], context: DetectionContext, runs: pl.DataFrame) -> pl.DataFrame:
    """Returns findings with their shared cause among the hyperparameters of ``runs``, by severity, then rare kinds first."""
    table = _rows(found)
    grave = (pl.col("severity") != "low") & pl.col("finding").is_in([*OF_THE_SETUP, PRINTED, SOURCE]).not_()
    ill = table.filter(grave)["run_id"].unique().to_list()
    healthy = runs.filter(pl.col("run_id").is_in(ill).not_())["run_id"].to_list()
    kinds = {str(k): ids["run_id"].unique().to_list() for (k,), ids in table.filter(grave).group_by("finding")}
    causes = shared_causes(runs, kinds, healthy, context.replicates)
    rank = pl.col("severity").replace_strict({s: i for i, s in enumerate(SEVERITIES)}, return_dtype=pl.Int8)
    own_run = pl.when(pl.col("finding") != PRINTED).then("run_id")  # messages keep their order
    cause = (
        pl.when(grave)
        .then(pl.col("finding").replace_strict(causes, default="", return_dtype=pl.String))
        .otherwise(pl.lit(""))
    )
    return (
        table.with_columns(shared_cause=cause)
        .with_columns(rank=rank)
        .sort("rank", "finding", own_run, "metric", maintain_order=True)
        .drop("rank")
    )


def _examples_first(table: pl.DataFrame) -> pl.DataFrame:
    """Returns the findings; of many, three examples of each kind and cause and all messages come first. Both parts: worst first."""
    if table.height <= _MANY:
        return table
    kind = ["finding", "severity", "shared_cause"]
    place = pl.int_range(pl.len()).over(kind)
    later = (place >= _EXAMPLES) & (pl.col("finding") != PRINTED)
    return table.with_columns(later=later).sort("later", maintain_order=True).drop("later")


def _summary(table: pl.DataFrame) -> pl.DataFrame:
    """finding, severity (of its rows), n_runs, shared_cause."""
    order = pl.col("severity").replace_strict({s: i for i, s in enumerate(SEVERITIES)}, return_dtype=pl.Int8)
    runs = pl.coalesce(_RUNS, pl.concat_list("run_id")).list.explode(keep_nulls=False).unique(maintain_order=True)
    counts = table.group_by("finding", "severity").agg(
        n_runs=runs.len(), shared_cause=pl.col("shared_cause").max(), examples=runs.head(_EXAMPLES),
    )  # fmt: skip
    return (
        counts.with_columns(rank=order).sort("rank", "n_runs", "finding", descending=[False, True, False]).drop("rank")
    )


def _notes(table: pl.DataFrame, summary: pl.DataFrame, context: DetectionContext) -> tuple[str, ...]:
    if not table.height:
        return (f"Nothing found in {count_of(context.runs.height, 'run')}.",)
    own = table.filter(pl.col("finding") != PRINTED)
    ill = own.filter(pl.col("severity") != "low")["run_id"].n_unique()
    mild = own["run_id"].n_unique() - ill
    total = context.runs.height
    also = f", {count_of(mild, 'other')} only of low" if mild else ""
    notes = [f"{share_of(ill, total, 'run')} {verb(total, 'has', 'have')} findings of high or medium severity{also}."]
    notes += [f"{severity}: {line}" for severity, line in severity_lines(summary)]
    return (*notes, *_constant_everywhere(context))


def severity_lines(summary: pl.DataFrame) -> list[tuple[str, str]]:
    """Returns a line for each severity with its kinds of findings and their shared cause; each cause is written out once."""
    told: dict[str, str] = {}
    lines: dict[str, list[str]] = {}
    for row in summary.iter_rows(named=True):
        cause = row["shared_cause"]
        before = told.setdefault(cause, row["finding"])
        words = f" [shared: {cause if before == row['finding'] else f'as {before}'}]" if cause else ""
        count = count_of(row["n_runs"], "run")
        lines.setdefault(row["severity"], []).append(f"{row['finding']} in {count}{words}")
    return [(severity, "; ".join(parts)) for severity, parts in lines.items()]


def _constant_everywhere(context: DetectionContext) -> tuple[str, ...]:
    still = (pl.col("min") == pl.col("max")) & (pl.col("n_finite") >= context.thresholds.min_points)
    names = context.series.group_by("metric").agg(still.all()).filter("min")["metric"].sort().to_list()
    return (f"Constant in every run: {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}.",) if names else ()
