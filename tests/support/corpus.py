"""Compares the known content of a corpus with `ExperimentDB`: matches runs, compares each value, names each difference.

    audit(folder, allowed)   -> Audit: series right and expected, and a sentence for everything that differs

`Allowed` says what may differ in one set, with the reason beside it. Whatever it does not name must be equal.
"""

from __future__ import annotations

import fnmatch
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from sweeplens import AnalysisConfig, ExperimentDB

_FIXED_STATS = ("n", "n_nan", "n_posinf", "n_neginf", "first_step", "last_step")
_VALUE_STATS = ("first", "last", "min", "max", "sum_finite")
_ALIASES = ("run_id", "id", "wandb_run_id", "trial_id", "name", "display_name")
OTHER_AXES = ("epoch", "*/epoch")  # beside a step, the design keeps other axes as metrics; the truths leave them out
_STATUS = {
    "completed": {"finished"}, "finished": {"finished"}, "complete": {"finished"}, "run_state_finished": {"finished"},
    "pruned": {"pruned"}, "crashed": {"crashed", "unknown", "failed"}, "crashed/unknown": {"crashed", "unknown"},
    "failed": {"failed"}, "fail": {"failed"}, "running": {"running"}, "none": {"unknown", "crashed", "killed"},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Allowed:
    """What may differ between a set's truth and our reading; every entry stands beside its reason in the table."""

    relative: float = 1e-6  # 1e-5 for sources that store float32
    folds: Callable[[str, Mapping[str, Any]], str] | None = None  # truth run -> the truth run that it is a part of
    metric: Callable[[str, str], str] | None = None  # (truth run, metric) -> our name
    absent_metrics: tuple[str, ...] = ()  # globs of truth metrics that we do not give as metrics
    absent_hparams: tuple[str, ...] = ()
    extra_metrics: tuple[str, ...] = ()  # globs of metrics that we give beyond the truth
    free_steps: tuple[str, ...] = ()  # globs of metrics whose step axis differs
    extra_runs: tuple[str, ...] = ()  # globs of run ids beyond the truth
    missing_runs: tuple[str, ...] = ()
    largest_is_infinity: bool = False  # the truth shows infinities as the largest float, as its producer stores them


@dataclass(slots=True)
class Audit:
    """What was found; ``series_right`` of ``series_expected``."""

    name: str
    series_right: int = 0
    series_expected: int = 0
    wrong: list[str] = field(default_factory=list)

    def line(self) -> str:
        return f"{self.name}: {self.series_right} / {self.series_expected}"


def audit(folder: Path, allowed: Allowed) -> Audit:
    """Read a set through the public door and compare everything that its truth knows."""
    truth = read_truth(folder)
    found = Audit(folder.name, series_expected=sum(len(r["metrics"]) for r in truth["runs"].values()))
    db = ExperimentDB(AnalysisConfig(cache="memory", live_seconds=1e-6), base_path=folder / "logs")
    report = db.load_experiments()
    runs = {r["run_id"]: r for r in db.runs_df.to_dicts()}
    ours = match(truth["runs"], runs, folder / "logs", allowed)
    stats = _stats(db, allowed)
    for key, run in truth["runs"].items():
        if key not in ours:
            if not _any(key, allowed.missing_runs):
                found.wrong.append(f"run {key!r} is missing")
            continue
        row = runs[ours[key]]
        found.wrong += [f"{key}: {w}" for w in _series_of(found, key, run, stats.get(ours[key], {}), allowed)]
        found.wrong += [f"{key}: {w}" for w in _facts(run, row, allowed)]
    found.wrong += _beyond(truth["runs"], runs, ours, stats, allowed)
    found.wrong += _malformed(truth, report.n_malformed, db.problems)
    return found


def match(truth: Mapping[str, Any], runs: Mapping[str, Any], logs: Path, allowed: Allowed) -> dict[str, str]:
    """Truth run -> our run id: by id, else by path, else by name; a folded one goes where its parent goes."""
    given: dict[str, str] = {}
    wanted = {k: v for k, v in truth.items() if not allowed.folds or allowed.folds(k, truth) == k}
    for agrees in (_same_id, _same_path, _below_path, _same_alias):
        for key, about in wanted.items():
            if key in given:
                continue
            fits = [r for r, row in runs.items() if r not in given.values() and agrees(key, about, row, logs)]
            if len(fits) == 1:
                given[key] = fits[0]
    if allowed.folds:
        given |= {k: given[p] for k in truth if (p := allowed.folds(k, truth)) in given}
    return given


def read_truth(folder: Path) -> dict[str, Any]:
    """The truth of a set, in which folders of one W&B id are one run: it was resumed offline, and its steps go on."""
    truth = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    runs: dict[str, Any] = {}
    first: dict[str, str] = {}
    for key in sorted(truth["runs"]):
        run = truth["runs"][key]
        home = first.setdefault(run.get("wandb_run_id") or key, key)
        runs[home] = run if home == key else {**run, "path": runs[home]["path"], "metrics": _joined(runs[home], run)}
    gone = len(truth["runs"]) - len(runs)
    return {**truth, "runs": runs, "n_runs": truth["n_runs"] - gone} if gone else truth


def _joined(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    a, b = earlier["metrics"], later["metrics"]
    return {**a, **b, **{name: _joined_series(a[name], b[name], earlier["history_rows"]) for name in a if name in b}}


def _joined_series(a: Mapping[str, Any], b: Mapping[str, Any], rows: int) -> dict[str, Any]:
    sums = ("n", "n_nan", "n_posinf", "n_neginf", "sum_finite", "n_unique_steps")
    ends = {s: pick(x for x in (a[s], b[s]) if x is not None) for s, pick in (("min", min), ("max", max))}
    joined = {**b, **{s: a[s] + b[s] for s in sums if s in a and s in b}, **ends}
    later = {s: b[s] + rows for s in ("last_step", "max_step")}
    return {**joined, **later, "first": a["first"], "first_step": a["first_step"]}


def _same_id(key: str, about: Mapping[str, Any], row: Mapping[str, Any], logs: Path) -> bool:
    return row["run_id"] == key


def _same_path(key: str, about: Mapping[str, Any], row: Mapping[str, Any], logs: Path) -> bool:
    return Path(row["source"]) == logs / str(about.get("path") or key)


def _below_path(key: str, about: Mapping[str, Any], row: Mapping[str, Any], logs: Path) -> bool:
    place = logs / str(about.get("path") or key)
    return place in Path(row["source"]).parents or Path(row["source"]) in place.parents


def _same_alias(key: str, about: Mapping[str, Any], row: Mapping[str, Any], logs: Path) -> bool:
    names = {key, key.rsplit("/", 1)[-1], *(str(about.get(a)) for a in _ALIASES)}
    own = {row["run_id"], row["run_id"].split("@")[0], row["run_id"].rsplit("/", 1)[-1], row["name"]}
    return bool(names & own)


def _stats(db: ExperimentDB, allowed: Allowed) -> dict[str, dict[str, dict[str, Any]]]:
    """run -> metric -> the truth's statistics, over everything that was logged."""
    value = pl.col("value")
    if allowed.largest_is_infinity:
        value = value.clip(-sys.float_info.max, sys.float_info.max)
    finite = value.filter(value.is_finite())
    table = (
        db.lazy_query(raw=True)
        .sort("seq")
        .group_by(pl.col("run_id").cast(pl.String), pl.col("metric").cast(pl.String), maintain_order=True)
        .agg(
            n=pl.len(),
            n_nan=value.is_nan().sum(),
            n_posinf=(value == math.inf).sum(),
            n_neginf=(value == -math.inf).sum(),
            first=value.first(),
            last=value.last(),
            min=finite.min(),
            max=finite.max(),
            sum_finite=finite.sum(),
            first_step=pl.col("step").first(),
            last_step=pl.col("step").last(),
        )
        .collect()
    )
    nested: dict[str, dict[str, dict[str, Any]]] = {}
    for row in table.to_dicts():
        nested.setdefault(row["run_id"], {})[row["metric"]] = row
    return nested


def _series_of(
    found: Audit, key: str, run: Mapping[str, Any], stats: Mapping[str, Any], allowed: Allowed
) -> Iterator[str]:
    for metric, expected in run["metrics"].items():
        name = allowed.metric(key, metric) if allowed.metric else metric
        if _any(metric, allowed.absent_metrics):
            found.series_expected -= 1
            continue
        if not expected["n"]:  # a metric that was declared and never logged has no series
            found.series_right += name not in stats
            if name in stats:
                yield f"{name} has {stats[name]['n']} points, none was logged"
            continue
        if name not in stats:
            yield f"{name} is missing"
            continue
        wrong = list(_unequal(expected, stats[name], allowed, free_steps=_any(metric, allowed.free_steps)))
        found.series_right += not wrong
        if wrong:
            yield f"{name}: {', '.join(wrong)}"


def _unequal(
    expected: Mapping[str, Any], got: Mapping[str, Any], allowed: Allowed, *, free_steps: bool
) -> Iterator[str]:
    for stat in _FIXED_STATS:
        if free_steps and stat.endswith("_step"):
            continue
        if stat in expected and expected[stat] is not None and expected[stat] != got[stat]:
            yield f"{stat} is {got[stat]}, expected {expected[stat]}"
    scale = max((abs(_number(expected[s])) for s in ("min", "max") if expected.get(s) is not None), default=0.0)
    for stat in _VALUE_STATS:
        want = expected.get(stat)
        room = allowed.relative * scale * expected["n"] if stat == "sum_finite" else 0.0
        if not _no_number(want) and not _close(_number(want), got[stat], allowed.relative, room):
            yield f"{stat} is {got[stat]}, expected {want}"


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float | str) else math.nan


def _close(want: float, got: float | None, relative: float, room: float) -> bool:
    if got is None:
        return False
    if math.isnan(want) or math.isnan(got):
        return math.isnan(want) and math.isnan(got)
    return want == got or math.isclose(want, got, rel_tol=relative, abs_tol=room)


def _facts(run: Mapping[str, Any], row: Mapping[str, Any], allowed: Allowed) -> Iterator[str]:
    """Hyperparameters and status."""
    for name, want in (run.get("hyperparameters") or {}).items():
        if _any(name, allowed.absent_hparams):
            continue
        column = f"hparam.{name}" if f"hparam.{name}" in row else name
        if column not in row:
            yield f"hyperparameter {name!r} is missing"
        elif not _same_value(want, row[column]):
            yield f"hyperparameter {name!r} is {row[column]!r}, expected {want!r}"
        elif want is None and column not in row["null_hparams"]:
            yield f"hyperparameter {name!r} is not known to be None"
    if "status" in run:
        fits = _STATUS.get(str(run["status"]).lower(), {str(run["status"])})
        if row["status"] not in fits:
            yield f"status is {row['status']!r}, expected {run['status']!r}"


def _same_value(want: object, got: object) -> bool:
    """Lists and mappings as JSON text; numbers in text equal numbers; None is null."""
    if want is None or got is None:
        return want is None and got is None
    if isinstance(want, list | dict):
        return isinstance(got, str) and _loaded(got) == json.loads(json.dumps(want))
    if isinstance(want, str) and isinstance(got, str):
        return want == got
    if isinstance(want, bool) or isinstance(got, bool):
        return str(want) == str(got)
    try:
        return math.isclose(float(str(want)), float(str(got)), rel_tol=1e-12)
    except ValueError:
        return str(want) == str(got)


def _loaded(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _beyond(
    truth: Mapping[str, Any],
    runs: Mapping[str, Any],
    ours: Mapping[str, str],
    stats: Mapping[str, Mapping[str, Any]],
    allowed: Allowed,
) -> Iterator[str]:
    """What we give and the truth does not know: runs counted twice, metrics that are none."""
    for run in runs:
        if run not in ours.values() and not _any(run, allowed.extra_runs):
            yield f"run {run!r} is in no truth"
    for run in set(ours.values()):
        keys = [k for k, v in ours.items() if v == run]
        known = {allowed.metric(k, m) if allowed.metric else m for k in keys for m in truth[k]["metrics"]}
        extra = [m for m in stats.get(run, {}) if m not in known and not _any(m, (*OTHER_AXES, *allowed.extra_metrics))]
        if extra:
            yield f"{keys[0]}: metrics in no truth: {', '.join(sorted(extra)[:5])}"


def _malformed(truth: Mapping[str, Any], loaded: int, problems: pl.DataFrame) -> Iterator[str]:
    """Lines that cannot be read, by count; a torn tail counts once, as nothing here grows (the truth names it twice)."""
    want = 0
    for counts in (truth.get("malformed_lines") or {}).values():
        want += (
            sum(v for k, v in counts.items() if k not in ("blank", "truncated_tail"))
            if isinstance(counts, dict)
            else counts
        )
    got = problems.filter(pl.col("kind").is_in(["malformed", "torn"]) & pl.col("line").is_not_null()).height
    if "malformed_lines" in truth and got != want:
        yield f"{got} malformed lines ({loaded} at loading), expected {want}"


def _no_number(value: object) -> bool:
    """The truth gives no number: nothing was finite, or a sum went beyond the floats."""
    return value is None or value == "overflow"


def _any(name: str, globs: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, g) for g in globs)
