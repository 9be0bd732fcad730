"""What else differs between the sides of a comparison, beside the condition: each fact with its numbers, the most harmful first.

    side_differences    rows of what, text, over two sides or over all levels of a hyperparameter

Facts are compared within each task. Only those that differ have a row. A setting that the condition itself implies (the momentum of
one optimizer) is only named as set on one side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property

import polars as pl
from msgspec import Struct

from sweeplens.analyses.coverage import listed
from sweeplens.analyses.run_costs import counters_of
from sweeplens.analyses.rungs import rungs_of
from sweeplens.analyses.triage.pairs import words
from sweeplens.frames.grouping import (
    identifiers,
    is_machine,
    is_replicate,
    keyed,
    same_split,
    settings_among,
    varying_hparams,
)
from sweeplens.frames.schemas import hparam_columns

__all__ = ["SideFacts", "side_differences"]

_SCHEMA = {"what": pl.String(), "text": pl.String()}
_MOST = 12  # rows
_SETTING = "value of the setting"  # no hyperparameter has this name
_TASKS = 3  # tasks that a row names
_LEVELS = 6
_HPARAMS = 40
_SIZES = frozenset("examples samples items size count rows documents questions".split())
_VERSION = frozenset("sha commit hash revision".split())
_BROKEN = {"high": "broken", "medium": "suspect"}
_SPLIT = "same_split"
_SCALES = {"other_scale": "on another scale", "rescored": "computed differently"}
_SETUP = ("not_applied", "seed_not_used", *_SCALES)
_SHARE = 0.25  # difference of shares of machines that counts


class SideFacts(Struct, frozen=True, dict=True):
    """``table``: run_id, side, task, metric (the main metric of the run's task), in the order of sides; ``runs`` and ``series``: of
    these runs, or of more; ``findings``: of a diagnosis, if known; ``copies``: runs that hold the curves of another run.
    """

    table: pl.DataFrame
    runs: pl.DataFrame
    series: pl.DataFrame
    named: Sequence[str]
    replicates: Sequence[str]
    tasks: Sequence[str]
    findings: pl.DataFrame | None = None
    copies: Sequence[str] = ()

    @cached_property
    def sides(self) -> list[str]:
        """The names of the sides, in order."""
        return self.table["side"].unique(maintain_order=True).to_list()

    @cached_property
    def places(self) -> pl.Series:
        """The row of each run of the table in the frame of runs."""
        rows = self.runs.select("run_id").with_row_index("place")
        return self.table.join(rows, on="run_id", how="left", maintain_order="left")["place"]

    @cached_property
    def tried(self) -> dict[str, list[tuple[str, dict[str, list[object]]]]]:
        """The values of each setting by task and side."""
        return {name: list(_by_task(self, name)) for name in _settings(self)}

    def counted(self, ids: Sequence[str]) -> str:
        """Returns how many runs of each side are among these: ``ft 0 of 24, kd 1 of 24``."""
        rows = self.table.with_columns(hit=pl.col("run_id").is_in(list(ids)))
        counts = rows.group_by("side", maintain_order=True).agg(pl.col("hit").sum(), pl.len())
        return ", ".join(f"{side} {hit} of {n}" for side, hit, n in counts.iter_rows())

    def named_tasks(self, ids: Sequence[str]) -> str:
        """Returns the tasks of these runs in brackets; empty where they are all tasks, or where there are none."""
        own = self.table.filter(pl.col("run_id").is_in(list(ids)))["task"].unique().sort().to_list()
        return f" ({listed(own, _TASKS)})" if 0 < len(own) < self.table["task"].n_unique() else ""


def side_differences(facts: SideFacts) -> pl.DataFrame:
    """Returns what, text: one row a fact that differs between the sides."""
    checks: tuple[Callable[[SideFacts], Iterator[tuple[str, str]]], ...] = (
        _copies, _other_scale, _same_split, _sizes, _values_apart, _unhealthy, _ends, _tuning, _repetitions, _evaluations, _used_up,
        _machines, _versions, _one_sided,
    )  # fmt: skip
    rows = [row for check in checks for row in check(facts)] if len(facts.sides) > 1 else []
    return pl.DataFrame(rows[:_MOST], schema=_SCHEMA, orient="row")


def _copies(facts: SideFacts) -> Iterator[tuple[str, str]]:
    ids = [r for r in facts.copies if r in set(facts.table["run_id"].to_list())]
    if ids:
        yield "copies", f"runs with the curves of another run: {facts.counted(ids)} ({listed(ids, 4)})"


def _other_scale(facts: SideFacts) -> Iterator[tuple[str, str]]:
    if facts.findings is None:
        return
    found = facts.findings.filter(pl.col("finding").is_in(list(_SCALES))).join(facts.table, on="run_id", how="semi")
    for (metric, kind), rows in found.group_by("metric", "finding", maintain_order=True):
        ids = rows["run_id"].to_list()
        yield from _shares(facts, ids, f"{metric} {_SCALES[str(kind)]}", "")


def _same_split(facts: SideFacts) -> Iterator[tuple[str, str]]:
    if facts.findings is None:
        return
    found = facts.findings.filter(pl.col("finding") == _SPLIT).join(facts.table, on="run_id", how="semi")
    for (metric,), rows in found.group_by("metric", maintain_order=True):
        ids = rows["run_id"].to_list()
        task = facts.table.filter(pl.col("run_id").is_in(ids))["task"].unique().implode()
        part = _of_tasks(facts, task)
        yield "test is validation", f"{metric} is a validation value: {part.counted(ids)}{facts.named_tasks(ids)}"


def _of_tasks(facts: SideFacts, tasks: pl.Series) -> SideFacts:
    return SideFacts(
        facts.table.filter(pl.col("task").is_in(tasks)),
        facts.runs,
        facts.series,
        facts.named,
        facts.replicates,
        facts.tasks,
    )


def _sizes(facts: SideFacts) -> Iterator[tuple[str, str]]:
    """Sizes of data sets that runs logged: one constant in each run."""
    names = [m for m in facts.series["metric"].unique().sort().to_list() if set(words(m)) & _SIZES]
    for name in names:
        rows = facts.series.filter(pl.col("metric") == name)
        if rows.select((pl.col("min") == pl.col("max")).all()).item():
            yield from _medians(facts, rows.select("run_id", value="last_finite"), name, 0.005)
    for column in _metadata(facts, lambda own: bool(own & _SIZES)):
        known = facts.runs.select("run_id", value=pl.col(column).cast(pl.Float64, strict=False)).drop_nulls()
        yield from _medians(facts, known, column.removeprefix("metadata."), 0.005)


def _metadata(facts: SideFacts, wanted: Callable[[set[str]], bool]) -> list[str]:
    names = [c for c in facts.runs.columns if c.startswith("metadata.") and wanted(set(words(c)))]
    return [c for c in names if facts.runs[c].n_unique() > 1][:_HPARAMS]


def _medians(facts: SideFacts, values: pl.DataFrame, name: str, apart: float) -> Iterator[tuple[str, str]]:
    """Yields the medians of each side, by task, where they differ by more than this share."""
    yield from _apart(
        facts, facts.table.join(values.drop_nulls("value"), on="run_id", maintain_order="left"), name, apart
    )


def _apart(facts: SideFacts, rows: pl.DataFrame, name: str, apart: float) -> Iterator[tuple[str, str]]:
    """Yields `_medians` of the rows of the table with their values."""
    medians = rows.group_by("task", "side", maintain_order=True).agg(pl.col("value").median())
    told: list[str] = []
    for (task,), part in medians.group_by("task", maintain_order=True):
        low, high = part["value"].min(), part["value"].max()
        if part.height > 1 and isinstance(low, float) and isinstance(high, float) and high - low > apart * abs(high):
            figures = ", ".join(f"{side} {_text(value)}" for side, value in part.select("side", "value").iter_rows())
            told.append(f"{task}: {figures}" if task else figures)
    if told:
        same = {t.partition(": ")[2] for t in told}
        alike = len(same) == 1 and len(told) == facts.table["task"].n_unique()
        yield name, f"{name} (median): {same.pop() if alike and ': ' in told[0] else listed(told, _TASKS)}"


def _values_apart(facts: SideFacts) -> Iterator[tuple[str, str]]:
    """Settings that both sides have, with no value in common within a task."""
    for name, of_tasks in facts.tried.items():
        told: list[str] = []
        for task, values in of_tasks:
            own = {s: [_text(v) for v in found] for s, found in values.items()}
            if any(not set(x) & set(y) for i, x in enumerate(own.values()) for y in list(own.values())[i + 1 :]):
                figures = ", ".join(f"{side} {listed(v, 3)}" for side, v in own.items())
                told.append(f"{task}: {figures}" if task else figures)
        if told:
            yield name, f"{name}: {listed(told, _TASKS)}"


def _by_task(facts: SideFacts, name: str) -> Iterator[tuple[str, dict[str, list[object]]]]:
    """Yields for each task the values of a hyperparameter on each side that has any."""
    column = keyed(facts.runs, [name])[name].gather(facts.places).alias(_SETTING)
    rows = facts.table.select("task", "side", column).unique()
    for (task,), part in rows.sort("task", maintain_order=True).group_by("task", maintain_order=True):
        own = {
            s: part.filter(pl.col("side") == s)[_SETTING].drop_nulls().unique().sort().to_list() for s in facts.sides
        }
        yield str(task), {s: values for s, values in own.items() if values}


def _known(column: pl.Series) -> list[str]:
    return sorted(column.drop_nulls().unique().to_list())


def _settings(facts: SideFacts) -> list[str]:
    """Returns the hyperparameters that vary and are settings: not the condition, a task, a seed, or a name of a run."""
    varying = [n for n in varying_hparams(facts.runs) if n not in facts.named and n not in facts.tasks]
    names = settings_among(facts.runs, varying, facts.replicates)
    return [own[0] for own in same_split(facts.runs, names)][:_HPARAMS]


def _unhealthy(facts: SideFacts) -> Iterator[tuple[str, str]]:
    """Broken and suspect runs, and those that did not end well, where the shares of the sides differ."""
    if facts.findings is not None:
        grave = facts.findings.filter(pl.col("finding").is_in([_SPLIT, "crashed", *_SETUP]).not_())
        for severity, word in _BROKEN.items():
            rows = grave.filter(pl.col("severity") == severity).join(facts.table, on="run_id", how="semi")
            kinds = (
                rows.group_by("finding")
                .agg(n=pl.col("run_id").n_unique())
                .sort("n", "finding", descending=[True, False])
            )
            shown = listed([f"{kind} {n}" for kind, n in kinds.iter_rows()], 3)
            yield from _shares(facts, rows["run_id"].unique().to_list(), word, f" ({shown})")
    ended = facts.runs.filter(pl.col("status").is_in(["failed", "crashed", "killed"]))["run_id"].to_list()
    yield from _shares(facts, ended, "failed or killed", "")


def _shares(facts: SideFacts, ids: Sequence[str], word: str, more: str) -> Iterator[tuple[str, str]]:
    rows = facts.table.with_columns(hit=pl.col("run_id").is_in(list(ids)))
    if rows.group_by("side").agg(pl.col("hit").mean())["hit"].n_unique() > 1:
        yield word, f"{word}: {facts.counted(ids)}{facts.named_tasks(ids)}{more}"


def _ends(facts: SideFacts) -> Iterator[tuple[str, str]]:
    """Runs that ended before 90 % of the longest of their task and side, and the usual length of each side; none still running."""
    ended = facts.runs.filter(pl.col("status") != "running").select("run_id")
    rows = facts.table.join(ended, on="run_id", how="semi", maintain_order="left")
    rows = rows.join(_last_steps(facts.series), on="run_id", maintain_order="left")
    whole = rows.group_by("task", "side").agg(whole=pl.col("value").max())
    known = rows.join(whole, on=["task", "side"])
    short = known.filter(pl.col("value") < 0.9 * pl.col("whole"))["run_id"].to_list()
    on_rungs = rungs_of(facts.runs, facts.series) is not None
    yield from _shares(facts, short, "stopped on a lower rung of the search" if on_rungs else "ended early", "")
    yield from _apart(facts, rows.drop_nulls("value"), "last step", 0.02)


def _last_steps(series: pl.DataFrame) -> pl.DataFrame:
    """Returns run_id, value: the last step of each run. Rows of one run usually stand together, and are taken together first."""
    stretch = pl.col("run_id").rle_id().alias("stretch")
    parts = series.select("run_id", "last_step", stretch).group_by("stretch").agg(
        pl.col("run_id").first(), value=pl.col("last_step").max().cast(pl.Float64)
    )  # fmt: skip
    return parts.group_by("run_id").agg(pl.col("value").max())


def _tuning(facts: SideFacts) -> Iterator[tuple[str, str]]:
    """Levels that each side tried of the other settings, where their numbers differ in a task."""
    for name, of_tasks in facts.tried.items():
        found = {t: own for t, own in of_tasks if len({len(v) for v in own.values()}) > 1}
        yield from _levels_told(facts, found, f"{name} tried", _LEVELS)


def _repetitions(facts: SideFacts) -> Iterator[tuple[str, str]]:
    """Seeds of each side, where they are not the same."""
    for name in (n for n in hparam_columns(facts.runs) if is_replicate(facts.runs, n, facts.replicates)):
        found = {t: own for t, own in _by_task(facts, name) if len({tuple(v) for v in own.values()}) > 1}
        yield from _levels_told(facts, found, f"{name}s", 4)


def _levels_told(
    facts: SideFacts, found: Mapping[str, Mapping[str, list[object]]], what: str, most: int
) -> Iterator[tuple[str, str]]:
    """Yields the values of each side, tasks with the same values together; two rows at most."""
    told: dict[str, list[str]] = {}
    for task, own in found.items():
        figures = ", ".join(f"{s} {len(v)} ({listed([_text(x) for x in v], most)})" for s, v in own.items())
        told.setdefault(figures, []).append(task)
    for figures, tasks in list(told.items())[:2]:
        where = f" ({listed(tasks, _TASKS)})" if len(tasks) < facts.table["task"].n_unique() else ""
        yield what, f"{what}{where}: {figures}"


def _evaluations(facts: SideFacts) -> Iterator[tuple[str, str]]:
    names = facts.table["metric"].unique()
    own = facts.series.filter(pl.col("metric").is_in(names.implode()))
    if names.len() > 1:
        own = own.join(facts.table.select("run_id", "metric"), on=["run_id", "metric"], how="semi")
    yield from _medians(facts, own.select("run_id", value=pl.col("n").cast(pl.Float64)), "evaluations a run", 0.05)


def _used_up(facts: SideFacts) -> Iterator[tuple[str, str]]:
    """Tokens, samples and the like at the end of a run."""
    grown = facts.series.filter(pl.col("max") > pl.col("min"))
    for name in counters_of(grown)[:3]:
        rows = facts.series.filter(pl.col("metric") == name)
        yield from _medians(facts, rows.select("run_id", value="last_finite"), f"{name} at the end", 0.02)


def _machines(facts: SideFacts) -> Iterator[tuple[str, str]]:
    """Machines whose share of the runs differs between the sides."""
    for name, column in _text_columns(facts, _is_machine):
        rows = facts.runs.select("run_id", value=column.cast(pl.String)).drop_nulls().join(facts.table, on="run_id")
        counts = rows.group_by("side", "value").agg(n=pl.len()).sort("n", "value", descending=[True, False])
        of_side = {s: dict(counts.filter(pl.col("side") == s).select("value", "n").iter_rows()) for s in facts.sides}
        of_side = {s: own for s, own in of_side.items() if own}
        names = counts["value"].unique().to_list()
        if len(of_side) > 1 and len(names) <= _LEVELS and max(_span(of_side, value) for value in names) > _SHARE:
            parts = [f"{s} {listed([f'{v} {n}' for v, n in own.items()], 3)}" for s, own in of_side.items()]
            yield name, f"{name}: {'; '.join(parts)}"


def _is_machine(name: str) -> bool:
    return is_machine(name) or bool({"gpu", "accelerator"} & set(words(name)[-1:]))


def _span(counts: Mapping[str, Mapping[str, int]], value: str) -> float:
    """Returns the largest difference between sides in the share of runs with this value."""
    shares = [own.get(value, 0) / sum(own.values()) for own in counts.values()]
    return max(shares) - min(shares)


def _versions(facts: SideFacts) -> Iterator[tuple[str, str]]:
    """Versions of the code that no two sides share."""
    for name, column in _text_columns(facts, lambda n: bool(set(words(n)) & _VERSION)):
        rows = facts.runs.select("run_id", value=column.cast(pl.String)).drop_nulls().join(facts.table, on="run_id")
        own = {s: _known(rows.filter(pl.col("side") == s)["value"]) for s in facts.sides}
        known = [set(v) for v in own.values() if v]
        if len(known) > 1 and any(not x & y for i, x in enumerate(known) for y in known[i + 1 :]):
            yield name, f"{name}: " + ", ".join(f"{s} {listed([x[:8] for x in v], 2)}" for s, v in own.items())


def _text_columns(facts: SideFacts, wanted: Callable[[str], bool]) -> Iterator[tuple[str, pl.Series]]:
    """Yields the name and column of each hyperparameter or fact about runs with this kind of name; of equal columns one."""
    seen: set[str] = set()
    for column in facts.runs.columns:
        name = column.removeprefix("metadata.")
        known = facts.runs[column]
        if not wanted(name) or known.dtype.is_numeric() or not known.len() or known.n_unique() < 2:
            continue
        last = words(name)[-1]
        if last not in seen:
            seen.add(last)
            yield name, known


def _one_sided(facts: SideFacts) -> Iterator[tuple[str, str]]:
    """Settings that only some sides have at all."""
    groups: dict[tuple[str, ...], list[str]] = {}
    known = [n for n in hparam_columns(facts.runs) if n not in facts.named]
    identify = identifiers(facts.runs, known, facts.replicates)
    names = [n for n in known if n not in identify]
    of_sides = [facts.runs.filter(pl.col("run_id").is_in(of.implode())) for of in _runs_by_side(facts)]
    present = [dict(zip(names, _have_values(runs, names), strict=True)) for runs in of_sides]
    for name in names:
        having = tuple(side for side, has in zip(facts.sides, present, strict=True) if has[name])
        if 0 < len(having) < len(facts.sides):
            groups.setdefault(having, []).append(name)
    for sides, names in groups.items():
        yield "set on one side", f"set only in {', '.join(sides)}: {listed([_with_values(facts, n) for n in names], 5)}"


def _runs_by_side(facts: SideFacts) -> list[pl.Series]:
    return [facts.table.filter(pl.col("side") == side)["run_id"] for side in facts.sides]


def _have_values(runs: pl.DataFrame, names: Sequence[str]) -> list[bool]:
    """Returns whether any of these runs has a value, for each hyperparameter."""
    return list(runs.select(pl.col(names).is_not_null().any()).row(0)) if names else []


def _with_values(facts: SideFacts, name: str) -> str:
    values = facts.runs[name].drop_nulls().unique().sort().to_list()
    return f"{name}={_text(values[0])}" if len(values) == 1 else name


def _text(value: object) -> str:
    return f"{value:,.6g}" if isinstance(value, float) else str(value)
