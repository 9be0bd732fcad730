"""Groups runs by hyperparameters: which vary, which only mark repetitions, which are perfectly confounded."""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import lru_cache

import polars as pl

from sweeplens.errors import UnknownNameError
from sweeplens.frames.many_columns import distinct_counts, known_counts, rank_codes
from sweeplens.frames.path_settings import PATH
from sweeplens.frames.patterns import is_glob, match_glob
from sweeplens.frames.schemas import FROM, SOURCE_RUN, hparam_columns

__all__ = [
    "IDENTIFIERS",
    "MANY_KEYS",
    "NULL",
    "folded",
    "free_names",
    "group_hparams",
    "identifiers",
    "is_called",
    "is_replicate",
    "is_task",
    "keyed",
    "others_of",
    "runs_without_hparams",
    "same_split",
    "settings_among",
    "task_hparams",
    "two_valued",
    "varying_hparams",
]

NULL = "null"
"""The text for a hyperparameter with the value None, where other runs lack it."""
MANY_KEYS = 50
"""More hyperparameters than this directly under one parent are shown as one."""
IDENTIFIERS = (
    "pid", "process_id", "port", "*_port", "uuid", "slurm_*", "slurm.*", "*.slurm.*", "slurmjob*",
    "job_id", "jobid", "array_index", "array_id",
    "array_task_id", "array_job_id", "task_id", "trial_id", "*_trial", "trial_index", "trial_no",
    "run_id", "run_number", "exp_id", "experiment_id", "wandb_id",
    "timestamp", "*_timestamp", "datetime", "date", "start_time", "started_at", "created_at", "time_stamp", "run_time_stamp",
    "hostname", "host", "machine", "node", "node_id", "node_name", "nodename", "nodelist", "compute_node", "pod", "pod_name",
    "container_id", "worker_id", "tpu_name", "queue", "user", "username", "ip", "*_addr",
    "gpu", "gpu_id", "gpu_ids", "gpu_index", "device", "device_id", "cuda_device", "cuda_id", "cuda_visible_devices",
    "local_rank", "node_rank", "global_rank", "num_workers", "n_workers", "workers", "*_num_workers",
    "git_sha", "git_hash", "git_commit", "git_rev", "git_branch", "commit", "commit_id", "commit_hash", "commit_sha", "sha",
    "output_dir", "out_dir", "save_dir", "log_dir", "logdir", "logging_dir", "run_dir", "work_dir", "workdir", "exp_dir",
    "experiment_dir", "checkpoint_dir", "ckpt_dir", "results_dir", "result_dir", "output_path", "save_path", "log_path",
    "log_file", "cache_dir", "run_name", "note", "notes", "comment", "comments", "description",
)  # fmt: skip
"""Names (globs) that say where, when, why or by which process a run was made. They define no group unless they are asked for."""
_IDENTIFIER_RUNS = 4
_MOST_MATCHES = 5  # names that an error lists for a pattern
_BY_NUMBER = frozenset("init run rng rep repeat trial replicate fold".split())
_MACHINE_NAME = re.compile(
    r"(^|[./_-])(host|host_?name|node(_?name)?|machine(_?(name|id))?|slurm_\w+|cuda_visible_devices)$"
)
_IDENTIFIER_NAME = re.compile(r"(^|[._-])((exp|experiment|run|job|trial)[_-]?(name|id)|(\w+_)?(dir|path|folder|file))$")


def keyed(runs: pl.DataFrame, hparams: Sequence[str]) -> pl.DataFrame:
    """Returns run_id and these hyperparameters; the value None differs from a missing hyperparameter."""
    explicit = _explicit_nulls(runs)
    columns = [runs["run_id"]]
    for name in hparams:
        column, rows = runs[name], explicit.get(name)
        mixed = rows is not None and len(rows) < column.null_count()
        columns.append(_with_explicit_nulls(column, rows) if rows is not None and mixed else column)
    return pl.DataFrame(columns)


def _explicit_nulls(runs: pl.DataFrame) -> dict[str, pl.Series]:
    """Returns hyperparameter -> rows of the runs in which its value is None."""
    if not runs["null_hparams"].list.len().sum():
        return {}
    names = runs.select("null_hparams").with_row_index("row").explode("null_hparams").drop_nulls()
    rows = names.group_by("null_hparams").agg(pl.col("row").unique())
    return dict(zip(rows["null_hparams"].to_list(), rows["row"], strict=True))


def _with_explicit_nulls(column: pl.Series, rows: pl.Series) -> pl.Series:
    """Returns the column as text, with `NULL` in these rows."""
    text = pl.DataFrame([column.cast(pl.String).alias("text")]).with_row_index("row")
    null = pl.col("row").is_in(rows.implode())
    return text.select(pl.when(null).then(pl.lit(NULL)).otherwise("text").alias(column.name)).to_series()


def folded(names: Iterable[str]) -> dict[str, list[str]]:
    """Returns the names in order; many names under one parent are replaced by the parent (``id2label`` of 1,000 classes)."""
    names = list(names)
    size = Counter(n.rpartition(".")[0] for n in names)
    shown: dict[str, list[str]] = {}
    for name in names:
        parent = name.rpartition(".")[0]
        shown.setdefault(parent if parent and size[parent] > MANY_KEYS else name, []).append(name)
    return shown


def free_names(runs: pl.DataFrame, names: Sequence[str], taken: Collection[str]) -> tuple[pl.DataFrame, list[str]]:
    """Returns the runs and these hyperparameters, renamed to ``hparam.n`` where the answer has a column of that name."""
    clash = {n: f"hparam.{n}" for n in names if n in taken}
    if not clash:
        return runs, list(names)
    nulls = pl.col("null_hparams").list.eval(pl.element().replace(clash))
    return runs.with_columns(nulls).rename(clash), [clash.get(n, n) for n in names]


def varying_hparams(runs: pl.DataFrame) -> list[str]:
    """Returns hyperparameters with more than one value over these runs; missing counts as a value.

    A run without any known hyperparameter (its config was lost) is ignored.
    """
    names = hparam_columns(runs)
    unknown = runs_without_hparams(runs)
    known_runs = runs.filter(~pl.col("run_id").is_in(unknown)) if unknown else runs
    if not names or not known_runs.height:
        return []
    counts = distinct_counts(keyed(known_runs, names).get_columns()[1:])
    return [name for name, n in zip(names, counts, strict=True) if n > 1]


def runs_without_hparams(runs: pl.DataFrame) -> list[str]:
    """Returns the runs without any known hyperparameter. They are not repetitions of each other: what differs is unknown."""
    names = hparam_columns(runs)
    unknown = runs["null_hparams"].list.len() == 0
    for name in names:
        if not unknown.any():  # for most runs the first hyperparameter is known
            break
        unknown &= runs[name].is_null()
    return runs["run_id"].filter(unknown).to_list()


def is_replicate(runs: pl.DataFrame, hparam: str, patterns: Sequence[str]) -> bool:
    """Whether a hyperparameter only marks repetitions of one setting (``seed``).

    Some names mark repetitions only with numbers: ``init=3`` is a repetition, ``init=xavier`` is a setting.
    """
    if not is_called(hparam, patterns):
        return False
    column = runs[hparam].drop_nulls()
    return _last_part(hparam) not in _BY_NUMBER or column.dtype.is_integer() or _whole(column)


def _whole(column: pl.Series) -> bool:
    """Whether all values are integers, as numbers or as text."""
    return bool(column.cast(pl.String).str.contains(r"^-?\d+(\.0+)?$").all())


def is_called(hparam: str, patterns: Sequence[str]) -> bool:
    """Whether a name, or its part after the last ``.`` or ``/``, matches one of these globs; case is ignored."""
    return _is_called(hparam, tuple(patterns))


def is_task(hparam: str, tasks: Sequence[str]) -> bool:
    """Whether a hyperparameter is called as a task (``tasks``: globs). The task of the run that a run started from is a setting."""
    return not hparam.startswith(FROM) and is_called(hparam, tasks)


@lru_cache(maxsize=1 << 16)
def _is_called(hparam: str, patterns: tuple[str, ...]) -> bool:
    matches = _any_of(patterns)
    return matches(hparam.lower()) is not None or matches(_last_part(hparam)) is not None


@lru_cache(maxsize=256)
def _any_of(patterns: tuple[str, ...]) -> Callable[[str], re.Match[str] | None]:
    """Returns the match of a text with any of these globs."""
    return re.compile("|".join(fnmatch.translate(p.lower()) for p in patterns) or r"(?!)").match


def _last_part(hparam: str) -> str:
    return re.split(r"[./]", hparam.lower())[-1]


def is_machine(hparam: str) -> bool:
    """Whether a hyperparameter names the machine that a run was on: no setting, though it may be the cause of a failure."""
    return _MACHINE_NAME.search(hparam.lower()) is not None


def identifiers(runs: pl.DataFrame, hparams: Sequence[str], patterns: Sequence[str] = ()) -> frozenset[str]:
    """Returns the hyperparameters that identify runs (an output folder, a process), so they cannot define groups.

    Those are called like a machine or like one of `IDENTIFIERS`. A text is one if each run has a different value, or if its
    name says name or folder and more than half of its values are unique. The path of another run's checkpoint is one, too, where
    the settings of these runs tell them apart.
    ``patterns``: of replicates; ``!name`` makes a name a setting.
    """
    kept = tuple(p[1:] for p in patterns if p.startswith("!"))
    open_names = [n for n in hparams if not (kept and _is_called(n, kept))]
    called = {n for n in open_names if _is_called_identifier(n) or _leads_to_known_runs(runs, n, patterns)}
    if runs.height < _IDENTIFIER_RUNS:
        return frozenset(called)
    columns = [runs.get_column(n, default=None) for n in open_names if n not in called and not n.startswith(PATH)]
    texts = [c for c in columns if c is not None and c.dtype == pl.Categorical]  # others: many, shown as their parent
    by_values = {c.name for c, n in zip(texts, known_counts(texts), strict=True) if _identifies(c, n)}
    return frozenset(called | by_values)


def _leads_to_known_runs(runs: pl.DataFrame, hparam: str, replicates: Sequence[str]) -> bool:
    """Whether a setting leads to other runs whose settings, which stand in ``from.*``, say all that the setting says.

    Runs with the same settings are repetitions only if they have a seed. Else what differs is unknown: two teachers without a
    configuration are two settings.
    """
    source = SOURCE_RUN + hparam
    if source not in runs.columns:
        return False
    theirs = [c for c in runs.columns if c.startswith(FROM)]
    sources = runs.select(source, *theirs).drop_nulls(source).unique(source)
    if sources.height < 2:
        return True
    alike = sources.filter(pl.struct(theirs).is_duplicated()) if theirs else sources
    seeds = [c for c in theirs if is_replicate(runs, c, replicates)]
    return not alike.height or (
        bool(seeds) and alike.select(pl.any_horizontal(pl.col(seeds).is_not_null()).all()).item()
    )


@lru_cache(maxsize=1 << 16)
def _is_called_identifier(hparam: str) -> bool:
    return (is_machine(hparam) or is_called(hparam, IDENTIFIERS)) and not hparam.startswith(PATH)


def _identifies(column: pl.Series, n_values: int) -> bool:
    """Whether a text with so many different values identifies runs by its values."""
    n_known = len(column) - column.null_count()
    if n_known == len(column) == n_values:
        return True
    called = _IDENTIFIER_NAME.search(column.name.lower()) is not None
    return called and n_known >= _IDENTIFIER_RUNS and 2 * int(column.drop_nulls().is_unique().sum()) > n_known


def settings_among(runs: pl.DataFrame, hparams: Sequence[str], replicates: Sequence[str]) -> list[str]:
    """Returns those hyperparameters that neither mark repetitions nor identify runs."""
    identify = identifiers(runs, hparams, replicates)
    return [n for n in hparams if n not in identify and not is_replicate(runs, n, replicates)]


def group_hparams(runs: pl.DataFrame, asked: Sequence[str], replicates: Sequence[str]) -> list[str]:
    """Returns the hyperparameters that define groups: those in ``asked``, else all that vary, without replicates and identifiers.

    If ``asked`` is empty, only the first of perfectly confounded ones is kept: the others add no group.
    Raises UnknownNameError.
    """
    known = hparam_columns(runs)
    for name in asked:
        if name not in known:
            hint = f"find_varying_hparams shows those that vary; there are {len(known)}."
            if is_glob(name) and (matching := match_glob(name, known)):
                hint = f"Pass names, not a pattern, as in {matching[:_MOST_MATCHES]!r}. {hint}"
            raise UnknownNameError.of("hyperparameter", name, known, hint=hint)
    if asked:
        return list(dict.fromkeys(asked))
    candidates = settings_among(runs, two_valued(runs), replicates)
    first_of_class = {names[0] for names in same_split(runs, candidates)}
    return [n for n in candidates if n in first_of_class]


def task_hparams(runs: pl.DataFrame, tasks: Sequence[str]) -> list[str]:
    """Returns the hyperparameters that vary and are called as a task (``tasks``: globs); the first of those with the same split.

    They separate runs also where a setting has the same split, so that it alone would define the groups.
    """
    called = [n for n in two_valued(runs) if is_task(n, tasks)]
    first_of_class = {names[0] for names in same_split(runs, called)}
    return [n for n in called if n in first_of_class]


def two_valued(runs: pl.DataFrame) -> list[str]:
    """Returns hyperparameters that vary among the runs that have them. None is a value; missing alone makes no group."""
    names = varying_hparams(runs)
    nulls = set(runs["null_hparams"].explode().drop_nulls().to_list())
    counts = known_counts([runs[n] for n in names])
    return [n for n, count in zip(names, counts, strict=True) if count + (n in nulls) > 1]


def same_split(runs: pl.DataFrame, hparams: Sequence[str]) -> list[list[str]]:
    """Returns classes of perfectly confounded hyperparameters: those of one class split the runs in the same way."""
    if not hparams or not runs.height:
        return [list(hparams)] if hparams else []
    import numpy as np  # loads with the first question that needs it

    columns = keyed(runs, hparams).get_columns()[1:]
    counts = distinct_counts(columns)
    shared = {n for n, times in Counter(counts).items() if times > 1}  # others split the runs like no other one
    codes = iter(rank_codes([c for c, n in zip(columns, counts, strict=True) if n in shared]))
    last = np.arange(runs.height)
    classes: dict[bytes | str, list[str]] = {}
    for name, n in zip(hparams, counts, strict=True):
        if n not in shared:
            classes[name] = [name]
            continue
        code = next(codes)
        places = np.zeros(int(code.max()) + 1, dtype=np.int64)
        places[code] = last  # the last run with each value, which does not depend on the values' order
        classes.setdefault(places[code].tobytes(), []).append(name)
    return list(classes.values())


def others_of(name: str, same: Sequence[str]) -> list[str]:
    """Returns the other names of a class, the first of many and the number of the rest."""
    others = [o for o in same[: MANY_KEYS + 1] if o != name]
    more = len(same) - 1 - len(others)
    return [*others, f"... {more} more"] if more else others
