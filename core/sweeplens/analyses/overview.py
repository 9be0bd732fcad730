"""The overview of all runs in about twenty lines: the first call to make."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any, cast

import polars as pl
from msgspec.structs import replace

from sweeplens.analyses.coverage import listed
from sweeplens.analyses.listing import list_metrics
from sweeplens.analyses.next_steps import SweepFacts, next_steps
from sweeplens.analyses.overview_text import MANY_RUNS, constants_text, ends_text, metrics_text, vary_text
from sweeplens.analyses.printed_warnings import printed_text
from sweeplens.analyses.ranking import BROKEN, RANK_COLUMNS, rank
from sweeplens.analyses.ranking_notes import SAME_FIRST
from sweeplens.analyses.robustness import EXCEPTIONS
from sweeplens.analyses.rungs import Rungs, ladder_text, rungs_of
from sweeplens.analyses.summary import varying
from sweeplens.analyses.tasks import critical_difference
from sweeplens.answers import Answer, Basis
from sweeplens.counting import count_of, verb
from sweeplens.engines.protocol import PointSource
from sweeplens.frames.goals import known_goal, main_metrics, run_counts
from sweeplens.frames.grouping import identifiers, is_task
from sweeplens.frames.reduction import DEFAULT_REDUCE, SHORT
from sweeplens.frames.run_names import display_names, shown_run

if TYPE_CHECKING:
    from sweeplens.analyses.triage.candidates import DiagnosisOptions

__all__ = ["FIRST_CALL_POINTS", "overview", "with_line"]

Row = Mapping[str, object]
_WORST = 5
_KEYS = 6  # hyperparameters of a group that are named; where it ties, groups of more are not spelled out
_TASKS = 3  # whose best setting is named where none was tried on several
_REVIEWED_POINTS = 500_000  # with more, other analysis choices for the first metric are left to rank_runs
FIRST_CALL_POINTS = 2_000_000
_BEST = {
    "metric": pl.String(), "goal": pl.String(), "group": pl.String(), "n": pl.Int64(), "mean": pl.Float64(),
    "ci95_low": pl.Float64(), "ci95_high": pl.Float64(), "tied": pl.List(pl.String()),
}  # fmt: skip


def overview(
    runs: pl.DataFrame,
    series: pl.DataFrame,
    points: PointSource,
    *,
    goals: Mapping[str, str] | None = None,
    main: Sequence[str] = (),
    replicates: Sequence[str] = (),
    tasks: Sequence[str] = (),
    triage: DiagnosisOptions | None = None,
    diagnosis: Callable[[], Answer] | None = None,
    studied: Sequence[tuple[str, str]] = (),
) -> Answer:
    """Returns rows of topic and text; tables ``varying``, ``metrics`` and ``best``.

    ``triage``: options of the diagnosis that finds problems and news; without it only non-finite values are reported.
    ``diagnosis``: makes the diagnosis of these runs, where it is shared with other answers. ``studied``: topics and texts on the
    hyperparameter that the sweep studies.
    """
    found_wrong = _diagnosis(runs, series, points, triage, diagnosis) if triage else None
    broken = found_wrong.table.filter(pl.col("severity") == "high")["run_id"].unique().to_list() if found_wrong else []
    vary = varying(runs, replicates)
    rungs = rungs_of(runs, series)
    metrics = list_metrics(runs, series, goals=goals)
    names = main_metrics(series["metric"].unique().to_list(), main, goals, counts=run_counts(series))
    leading = [m for m in names if known_goal(m, goals) != "unknown"]
    settings: dict[str, Any] = {"goals": goals, "replicates": replicates, "tasks": tasks, "broken": broken}
    answers = _rankings(runs, series, points, leading, settings)
    known = display_names(runs)
    found = [
        row for m, a in zip(leading, answers, strict=True) for row in _best_groups(m, known_goal(m, goals), a, known)
    ]
    best = pl.DataFrame(found, schema=_BEST, orient="row")
    lost = [r for entry in vary.basis.left_out for r in entry.runs]
    rows = [
        ("runs", _by_status(runs)),
        ("still running", _running(runs, series, known)),
        ("rungs", _rungs(runs, series, rungs, leading, replicates, goals)),
        ("varies", vary_text(vary.table, runs, len(lost))),
        ("constant", constants_text(runs)),
        (
            "no hyperparameters",
            f"{len(lost)}: {listed(lost)} (config missing or unreadable); in no group" * bool(lost),
        ),
        ("metrics", metrics_text(metrics.table, series, names, runs.height)),
        *_best_rows(names, leading, answers, best, rungs),
        *studied,
        *(
            _broken(runs, series, found_wrong, triage, known)
            if found_wrong and triage
            else [("not finite", _nonfinite(series))]
        ),
    ]
    if found_wrong:
        kept = [a.table for a in answers if a.table.height]
        hparams = {k: v for k, v in _settings(vary.table, runs).items() if not is_task(k, tasks)}
        rows += _next_rows(runs, best, kept, hparams, found_wrong.table, _name_of(studied))
    table = pl.DataFrame([r for r in rows if r[1]], schema={"topic": pl.String, "text": pl.String}, orient="row")
    basis = Basis(runs_used=runs.height, points=int(series["n_logged"].sum()))
    return Answer(table, basis, tables={"varying": vary.table, "metrics": metrics.table, "best": best})


def _next_rows(
    runs: pl.DataFrame,
    best: pl.DataFrame,
    rankings: Sequence[pl.DataFrame],
    hparams: Mapping[str, Any],
    findings: pl.DataFrame,
    studied: str,
) -> Iterator[tuple[str, str]]:
    """Yields the calls to make next."""
    from sweeplens.analyses.triage.diagnosis import OF_THE_SETUP

    running = int((runs["status"] == "running").sum())
    facts = SweepFacts(runs.height, running, best, rankings, hparams, findings, OF_THE_SETUP, studied)
    yield from ((f"next {i}", step) for i, step in enumerate(next_steps(facts), 1))


def _rungs(
    runs: pl.DataFrame, series: pl.DataFrame, rungs: Rungs | None, leading: Sequence[str], replicates: Sequence[str],
    goals: Mapping[str, str] | None,
) -> str:  # fmt: skip
    metric = next(iter(leading), "")
    return ladder_text(runs, series, rungs, replicates, metric, known_goal(metric, goals)) if rungs else ""


def _name_of(studied: Sequence[tuple[str, str]]) -> str:
    return studied[0][0].partition(": ")[0] if studied else ""


def with_line(answer: Answer, topic: str, text: str) -> Answer:
    """Returns an overview with one more line, before the next steps; the same if the text is empty."""
    if not text:
        return answer
    steps = answer.table["topic"].str.starts_with("next ")
    line = pl.DataFrame({"topic": [topic], "text": [text]})
    return replace(answer, table=pl.concat([answer.table.filter(~steps), line, answer.table.filter(steps)]))


def _best_rows(
    names: Sequence[str], leading: Sequence[str], answers: Sequence[Answer], best: pl.DataFrame, rungs: Rungs | None
) -> Iterator[tuple[str, str]]:
    """Yields the rows on the best group by each metric; ``names``: the main metrics, ``leading``: those with a goal."""
    yield from ((f"best {r['metric']}", _best_line(r)) for r in best.iter_rows(named=True))
    yield "does it hold", _doubts(leading, answers)
    yield "metrics disagree", _disagreements(leading, [a.table for a in answers])
    yield "ties", next((n for a in answers for n in a.notes if n.startswith(BROKEN)), "")
    if best.height:
        short = f"of fewer than {SHORT} points the last value"
        yield (
            "how compared",
            f"by the mean of the last tenth of each run, {short} (reduce {DEFAULT_REDUCE}, the default)"
            + "; runs that end on different rungs are compared after unequal training" * (rungs is not None),
        )
    if names and not leading:
        yield "best", f"unknown whether lower or higher is better ({listed(names)}): pass goal=..."


def _rankings(
    runs: pl.DataFrame, series: pl.DataFrame, points: PointSource, metrics: Sequence[str], settings: Mapping[str, Any]
) -> list[Answer]:
    """Returns the default ranking by each metric; the first also under other analysis choices, where points are few."""
    most = int(int(series["n_logged"].sum()) <= _REVIEWED_POINTS)
    return [rank(runs, series, points, m, reviewed=m in metrics[:most], **settings) for m in metrics]


def _best_groups(metric: str, goal: str, answer: Answer, known: dict[str, str]) -> Iterator[tuple[object, ...]]:
    """Yields the first group of a default ranking and those that tie with it: over all tasks, else within each of the first."""
    ranked, overall = answer.table, answer.tables.get("overall")
    keys = [c for c in ranked.columns if c not in RANK_COLUMNS]
    if not ranked.height:
        return
    if overall is None:
        yield metric, goal, *_best_within(ranked, keys, known)
    elif keys and overall.height:
        yield metric, "higher", *_best_over_tasks(overall, keys)  # by scores, whatever the goal of the metric
    elif ranked["rank"].max() == 1:
        yield (
            metric,
            goal,
            "each task has one setting, and tasks are not compared with each other",
            1,
            None,
            None,
            None,
            [],
        )
    else:
        for task, part in list(ranked.group_by("task", maintain_order=True))[:_TASKS]:
            label, *rest = _best_within(part, keys, known)
            yield metric, goal, f"{task[0]}: {label}", *rest


def _best_within(ranked: pl.DataFrame, keys: Sequence[str], known: dict[str, str]) -> tuple[object, ...]:
    """Returns label, n, mean, interval and ties of the first row of one ranking."""
    top = ranked.row(0, named=True)
    label = _label(top, keys)
    if "run_id" in top:
        run = shown_run(top["run_id"], known)
        label = f"{run} ({label})" if keys else run
    unknown = top["tied"] is None and ranked.height > 1
    tied = None if unknown else _labels(ranked[1:].filter("tied"), keys)
    return label, top["n"], top["mean"], top["ci95_low"], top["ci95_high"], tied


def _best_over_tasks(overall: pl.DataFrame, keys: Sequence[str]) -> tuple[object, ...]:
    """Returns the best setting over all tasks by normalised scores; settings within Nemenyi's difference in mean rank tie."""
    top, *others = overall.iter_rows(named=True)
    near = critical_difference(overall.height, int(top["n_tasks"])) if others else 0.0
    tied = [_values(r, keys) for r in others if r["mean_rank"] - top["mean_rank"] <= near]
    label = f"over {top['n_tasks']} tasks, scores normalised within each (best run 1), {_label(top, keys)}"
    return label, top["n"], top["iqm"], top["ci95_low"], top["ci95_high"], tied


def _label(row: Mapping[str, object], keys: Sequence[str]) -> str:
    return listed([f"{k}={_value(row[k])}" for k in keys], _KEYS) or "all runs"


def _labels(groups: pl.DataFrame, keys: Sequence[str]) -> list[str]:
    """Returns `_values` of each group; each value is put into words once."""
    if not keys or not groups.height:
        return [""] * groups.height
    words = [_as_words(groups[k]).alias(f"key {i}") for i, k in enumerate(keys)]
    text = pl.concat_str(pl.all(), separator=", ")
    text = pl.format("({})", text) if len(keys) > 1 else text
    return pl.DataFrame(words).select(text.alias("text")).to_series().to_list()


def _as_words(column: pl.Series) -> pl.Series:
    known = column.cast(pl.String) if column.dtype == pl.Categorical else column
    values = known.drop_nulls().unique()
    names = [_value(v) for v in values.to_list()]
    return known.replace_strict(values, names, default=None, return_dtype=pl.String).fill_null(_value(None))


def _values(row: Mapping[str, object], keys: Sequence[str]) -> str:
    """Returns the values of a group, in the order of its hyperparameters."""
    texts = ", ".join(_value(row[k]) for k in keys)
    return f"({texts})" if len(keys) > 1 else texts


def _value(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else "(not set)" if value is None else str(value)


def _counts(runs: pl.DataFrame, column: str) -> list[tuple[str, int]]:
    return runs[column].value_counts(sort=True).rows() if runs.height else []


def _by_status(runs: pl.DataFrame) -> str:
    parts = ", ".join(f"{n} {status}" for status, n in _counts(runs, "status"))
    formats = _counts(runs, "format")
    kinds = formats[0][0] if len(formats) == 1 else ", ".join(f"{n} {f}" for f, n in formats)
    return f"{runs.height}: {parts} ({kinds})" if parts else "0"


def _best_line(row: Mapping[str, object]) -> str:
    low, high, tied = row["ci95_low"], row["ci95_high"], cast("list[str] | None", row["tied"])
    interval = f" [{low:.5g}, {high:.5g}]" if low is not None else ""
    shown = f"ties with {listed(tied)}" if tied and tied[0].count(", ") < _KEYS else f"ties with {len(tied or ())} more"
    unknown = "repeated runs are identical" if row["n"] not in (None, 0, 1) else "no repeated runs"
    ties = f"ties unknown: {unknown}" if tied is None else shown if tied else "no tie"
    ties = "the only group" if row["group"] == "all runs" else ties
    if row["mean"] is None:
        return str(row["group"])
    return f"{row['group']}: mean {row['mean']:.5g}{interval}, n={row['n']} ({row['goal']} is better); {ties}"


def _nonfinite(series: pl.DataFrame) -> str:
    bad = series.filter((pl.col("n_nan") + pl.col("n_inf")) > 0)
    ids = bad["run_id"].unique().sort().to_list()
    return (
        f"{count_of(len(ids), 'run')} {verb(len(ids), 'holds', 'hold')} NaN or infinite values: "
        f"{', '.join(ids[:5])}{', ...' if len(ids) > 5 else ''}"
        if ids
        else ""
    )


def _settings(vary: pl.DataFrame, runs: pl.DataFrame) -> dict[str, list[str]]:
    """Returns the hyperparameters that vary, one of each class that is perfectly confounded, with the others of its class."""
    seen: set[str] = set()
    found: dict[str, list[str]] = {}
    identify = identifiers(runs, vary["hparam"].to_list())
    for row in vary.filter((pl.col("n_values") > 1) & pl.col("replicate").not_()).iter_rows(named=True):
        if row["hparam"] not in seen:
            others = [] if row["n_values"] >= max(MANY_RUNS, runs.height) else list(row["same_as"])
            found[row["hparam"]] = [o for o in others if o not in identify]
            seen |= {row["hparam"], *others}
    return found


def _is_small(series: pl.DataFrame) -> bool:
    return int(series["n_logged"].sum()) <= FIRST_CALL_POINTS


def _diagnosis(
    runs: pl.DataFrame,
    series: pl.DataFrame,
    points: PointSource,
    options: DiagnosisOptions,
    shared: Callable[[], Answer] | None,
) -> Answer:
    """Returns what went wrong; curves are only checked if there are few enough points."""
    from sweeplens.analyses.triage.diagnosis import diagnose  # numpy loads with it

    return shared() if shared else diagnose(runs, series, points if _is_small(series) else None, options)


def _broken(
    runs: pl.DataFrame, series: pl.DataFrame, found: Answer, options: DiagnosisOptions, known: dict[str, str]
) -> list[tuple[str, str]]:
    """Returns findings by severity, the worst of them, and news."""
    from sweeplens.analyses.news import news_of_the_day  # numpy loads with it
    from sweeplens.analyses.triage.diagnosis import OF_THE_SETUP, severity_lines

    grave = found.table.filter(pl.col("severity") == "high")
    worst = [_finding_line(row, known) for row in grave.iter_rows(named=True)]
    unseen = (
        ""
        if _is_small(series) or found.basis.points
        else "divergence, overfitting, spikes and throughput were not checked: diagnose_runs does"
    )
    return [
        *((f"{severity} findings", line) for severity, line in severity_lines(found.tables["summary"])),
        ("settings and logs", _contradictions(found.table, OF_THE_SETUP)),
        ("worst", listed(worst, _WORST)),
        ("ended with", ends_text(runs)),
        ("printed", printed_text(runs)),
        ("not checked", unseen),
        ("last 24 hours", news_of_the_day(runs, series, found.table, options)),
    ]


def _contradictions(findings: pl.DataFrame, kinds: Sequence[str]) -> str:
    """Returns one example of each kind of disagreement between settings and logs, with its number of runs."""
    odd = findings.filter(pl.col("finding").is_in(kinds) & (pl.col("severity") != "low"))
    firsts = odd.group_by("finding", maintain_order=True).agg(pl.col("evidence").first(), pl.col("run_id").n_unique())
    return "; ".join(f"{evidence} ({count_of(n, 'run')})" for _, evidence, n in firsts.head(3).iter_rows())


def _doubts(metrics: Sequence[str], answers: Sequence[Answer]) -> str:
    """Returns the analysis choices for the first main metric under which another group leads."""
    found = [n for a in answers[:1] for n in a.notes if SAME_FIRST in n and EXCEPTIONS in n]
    return listed([f"{metrics[0]}: {n}" for n in found], 2)


def _disagreements(metrics: Sequence[str], rankings: Sequence[pl.DataFrame]) -> str:
    """Returns where two main metrics of one split have different leaders, and neither ties with the other's."""
    found: list[str] = []
    for (one, first), (other, second) in combinations(zip(metrics, rankings, strict=True), 2):
        if one.rpartition("/")[0] == other.rpartition("/")[0]:
            found += [
                f"{task}{_label(a, keys)} leads in {one}, {_label(b, keys)} in {other}"
                for task, a, b, keys in _leaders(first, second)
            ]
    return listed(found)


def _leaders(first: pl.DataFrame, second: pl.DataFrame) -> Iterator[tuple[str, Row, Row, list[str]]]:
    """Yields the leaders of two rankings, for each task, where each is significantly behind in the other ranking."""
    keys = [c for c in first.columns if c not in RANK_COLUMNS and c in second.columns]
    by_task = "task" in first.columns
    if not keys or by_task is not ("task" in second.columns):  # one metric is of one task only: nothing to set beside
        return
    tasks = first["task"].unique().sort().to_list() if by_task else [None]
    for task in tasks:
        one, two = (t.filter(pl.col("task") == task) if task is not None else t for t in (first, second))
        if not one.height or not two.height:
            continue
        a, b = one.row(0, named=True), two.row(0, named=True)
        behind = [
            t.filter(pl.all_horizontal(pl.col(k).eq_missing(r[k]) for k in keys)) for t, r in ((two, a), (one, b))
        ]
        if all(t.height and t["tied"][0] is False and t["rank"][0] > 1 for t in behind):
            yield f"{task}: " if task is not None else "", a, b, keys


def _finding_line(row: Mapping[str, object], known: dict[str, str]) -> str:
    place = f" of {row['metric']}" if row["metric"] else ""
    step = f" at step {row['step']}" if row["step"] is not None else ""
    return f"{shown_run(str(row['run_id']), known)} ({row['finding']}{place}{step})"


def _running(runs: pl.DataFrame, series: pl.DataFrame, known: dict[str, str]) -> str:
    """Lists the running runs, each with its last step."""
    ids = runs.filter(pl.col("status") == "running")["run_id"].sort().to_list()
    steps = dict(
        series.filter(pl.col("run_id").is_in(ids)).group_by("run_id").agg(pl.col("last_step").max()).iter_rows()
    )
    lines = [f"{shown_run(run, known)} (step {steps.get(run, 0)})" for run in ids]
    return f"{len(ids)}: {listed(lines, _WORST)}" if ids else ""
