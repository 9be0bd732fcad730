"""Decides which run a printed log belongs to that lies in another folder than the run.

    linked_logs(logs, targets)   -> path of a log -> id of its run

Evidence, of which all that there is must agree, unless the first leaves one run:

    a job's number    a setting or metadata of the run (``slurm_job_id``) is the number in the log's name or text
    a place           the log prints the folder, the id or the name of the run
    a name            the log is called like the run, or like parts of its path: ``baseline_fold0.out`` and ``baseline/fold_0``
    settings          the command line or the printed settings are those of the run, or parts of its path: ``fold=0`` and ``fold_0``

A log belongs to a run if the evidence leaves only that one. Where several logs have the same several runs left, and are as many,
and the runs have equal settings, they are taken in order: of the numbers in the names of the logs, and of those in the paths of the
runs. A log without any evidence belongs to the run of another log of its job (``771253.err`` beside ``771253.out``), else to the
run that changed last in the same seconds, if that is one-to-one for all such logs of the folder.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cached_property, reduce
from itertools import pairwise

import polars as pl
from msgspec import Struct

from sweeplens.frames.schemas import hparam_columns
from sweeplens.sources.job_logs import JobLog, Pairs
from sweeplens.store.runs_frame import TIMES_OF_FILES

__all__ = ["LogTarget", "linked_logs"]

_JOB_ID = re.compile(
    r"(?i)(?:.*[._])?(?:(?:slurm|pbs|lsf|lsb|sge|oar|flux|cluster)_?)?(?:array_)?job_?id|(?:.*[._])?slurm_?job"
)
_SAME_SECONDS, _APART_SECONDS = 5.0, 30.0
_FLAGS = {"true": "true", "yes": "true", "on": "true", "false": "false", "no": "false", "off": "false"}
_OF_JOBS = re.compile(
    r"(?i)^(?:slurm|job|train(?:ing)?|logs?|run|out(?:put)?|std(?:out|err))[-_.]+|^\d{4,}[-_.]+|[-_.]+\d{4,}(?:[-_.]\d+)?$"
    r"|[-_.]+(?:train|log|out|err|stdout|stderr)$"
)
_NO_SETTING = re.compile(
    r"(?i)(?:.*[._])?(?:git(?:_\w+)?|commit\w*|\w*sha|host\w*|time_?stamp|(?:start|end|created|run)_?(?:time|at|date)|date|"
    r"\w*dir|\w*path|version|pid|port|(?:run|job|trial|wandb|experiment|process)_?id)"
)
_SPLIT = re.compile(r"[_,\-]")


class LogTarget(Struct, frozen=True):
    """A run that a log may belong to. ``path``: of its source, below the root; ``changed``: its newest file, in seconds."""

    run_id: str
    name: str
    path: str
    changed: float
    created_at: datetime | None = None


def linked_logs(logs: Sequence[JobLog], targets: Sequence[LogTarget], runs: pl.DataFrame) -> dict[str, str]:
    """Returns the links. ``runs``: the runs frame, with the settings and metadata of the targets."""
    evidence = _Evidence(targets, runs)
    found: dict[str, str] = {}
    shared: dict[frozenset[int], list[JobLog]] = {}
    unknown: list[JobLog] = []
    for log in logs:
        if not log.trains:
            continue
        left = evidence.left(log)
        if left is None:
            unknown.append(log)
        elif len(left) == 1:
            found[log.file.path] = targets[next(iter(left))].run_id
        elif left:
            shared.setdefault(left, []).append(log)
    alike = {left: logs for left, logs in shared.items() if evidence.are_alike(left)}
    found |= _in_order(alike, targets, frozenset(found.values()))
    found |= _of_same_jobs(unknown, {log.file.path: log.job for log in logs}, found)
    taken = frozenset(found.values())
    rest = [log for log in unknown if log.file.path not in found and log.file.size]
    return found | _at_the_same_time(rest, [t for t in targets if t.run_id not in taken])


class _Evidence:
    """Looks up runs by what logs say. Runs are numbers: places in the list of targets."""

    def __init__(self, targets: Sequence[LogTarget], runs: pl.DataFrame) -> None:
        self._targets = targets
        at = {t.run_id: i for i, t in enumerate(targets)}
        known = runs.filter(pl.col("run_id").is_in(list(at))).drop(TIMES_OF_FILES, strict=False)
        self._places = [at[run] for run in known["run_id"].to_list()]
        self._runs = known
        self._columns: dict[str, dict[str, frozenset[int]]] = {}

    def left(self, log: JobLog) -> frozenset[int] | None:
        """Returns the runs that all evidence leaves; None if there is no evidence."""
        numbered = list(self._by_number(log))
        if numbered and len(numbered[0]) == 1:
            return numbered[0]
        sets = [*numbered, *self._by_place(log), *self._by_name(log), *self._by_settings(log)]
        return reduce(lambda one, other: one & other, sets) if sets else None

    def are_alike(self, places: frozenset[int]) -> bool:
        """Whether these runs have equal settings, so that they are attempts of one training."""
        rows = self._runs.filter(pl.Series([p in places for p in self._places]))
        columns = [c for c in hparam_columns(rows) if not (_NO_SETTING.fullmatch(c) or _JOB_ID.fullmatch(c))]
        return all(rows[c].n_unique() == 1 for c in columns)

    def _by_number(self, log: JobLog) -> Iterable[frozenset[int]]:
        found = (self._jobs.get(number) for number in log.numbers)
        one = next((f for f in found if f), None)
        if one:
            yield one

    def _by_place(self, log: JobLog) -> Iterable[frozenset[int]]:
        """The runs that a log names; where it names several that exclude each other, all of them."""
        named = [hits for path in log.paths if (hits := self._of_path(path))]
        named += [frozenset(self._names[word]) for word in log.words & self._names.keys()]
        if not named:
            return
        left = min(named, key=len)
        for hits in named:
            left = (left & hits) or (left | hits)
        yield left

    def _by_name(self, log: JobLog) -> Iterable[frozenset[int]]:
        stem = re.sub(r"(?i)\.(?:out|err|log|txt|[oe]\d+)$", "", log.file.path.replace("\\", "/").rpartition("/")[2])
        for name in dict.fromkeys((stem, _OF_JOBS.sub("", stem))):
            hits = self._called.get(_letters(name), set())
            if hits and (len(hits) == 1 or len(hits) < len(self._targets)):
                yield frozenset(hits)
                return

    def _of_path(self, path: str) -> frozenset[int]:
        """The runs of the longest part of a path that is the end of a run's path."""
        parts = path.split("/")[-12:]
        for length in range(len(parts), 1, -1):
            for begin in range(len(parts) - length + 1):
                if hits := self._ends.get("/".join(parts[begin : begin + length])):
                    return frozenset(hits)
        return frozenset()

    def _by_settings(self, log: JobLog) -> Iterable[frozenset[int]]:
        """The runs that have the settings of each command line; else those that were printed otherwise."""
        for pairs in log.commands or (log.settings,):
            left = self._with_settings(pairs)
            if left is not None:
                yield left

    def _with_settings(self, pairs: Pairs) -> frozenset[int] | None:
        """Returns the runs that have all of these settings, as far as any run has a setting or a path like them; None if no run
        has."""
        left: frozenset[int] | None = None
        for name, value in pairs.items():
            hits = self._of_setting(name, value)
            if hits is not None:
                left = hits if left is None else left & hits
        return left

    def _of_setting(self, name: str, value: str) -> frozenset[int] | None:
        column = self._column(name.replace("-", "_").lower())
        hits = column.get(_normal(value)) or self._of_part(name.rpartition(".")[2], value)
        return hits if hits or (column and "/" not in value) else None

    def _of_part(self, name: str, value: str) -> frozenset[int]:
        """The runs with a part of the path that is the value, or the name and the value."""
        stem = value.replace("\\", "/").rpartition("/")[2]
        texts = {stem, stem.rpartition(".")[0]} if re.search(r"[A-Za-z]{2}", stem) else set[str]()
        texts |= {f"{name}{mark}{stem}" for mark in ("", "_", "-", "=")}
        return frozenset[int]().union(*(self._parts[low] for t in texts if (low := t.lower()) in self._parts and t))

    def _column(self, name: str) -> dict[str, frozenset[int]]:
        """Returns value -> runs of the settings with this name: of the whole name, else of its last part."""
        if name not in self._columns:
            named = self._settings.get(name) or self._settings.get(f"*.{name.rpartition('.')[2]}") or []
            self._columns[name] = self._values(named)
        return self._columns[name]

    def _values(self, columns: Sequence[str]) -> dict[str, frozenset[int]]:
        found: dict[str, set[int]] = {}
        for column in columns:
            for place, value in zip(self._places, self._runs[column].to_list(), strict=True):
                if value is not None:
                    found.setdefault(_normal(str(value)), set()).add(place)
        return {value: frozenset(places) for value, places in found.items()}

    @cached_property
    def _settings(self) -> dict[str, list[str]]:
        """Name of a setting, and ``*.`` with its last part -> the columns."""
        found: dict[str, list[str]] = {}
        for column in hparam_columns(self._runs):
            name = column.replace("-", "_").lower()
            found.setdefault(name, []).append(column)
            found.setdefault(f"*.{name.rpartition('.')[2]}", []).append(column)
        return found

    @cached_property
    def _jobs(self) -> dict[str, frozenset[int]]:
        columns = [c for c in self._runs.columns if _JOB_ID.fullmatch(c)]
        return {k.removesuffix(".0").replace(".", "_"): runs for k, runs in self._values(columns).items()}

    @cached_property
    def _ends(self) -> dict[str, set[int]]:
        """Ends of the paths of runs, of two parts and more -> runs. A run's folder ends its path too if no other run is in it."""
        found: dict[str, set[int]] = {}
        homes = Counter(_home(t.path) for t in self._targets)
        for i, target in enumerate(self._targets):
            home = _home(target.path)
            texts = {target.path, target.path.rpartition(".")[0], *([home] if homes[home] == 1 else []), target.run_id}
            for parts in (text.split("/") for text in texts if text):
                for begin in range(len(parts) - 1):
                    found.setdefault("/".join(parts[begin:]), set()).add(i)
        return found

    @cached_property
    def _names(self) -> dict[str, set[int]]:
        """Single words that name runs: ids, display names and folders, if they are long and hold a digit."""
        found: dict[str, set[int]] = {}
        for i, target in enumerate(self._targets):
            for word in {
                target.run_id,
                target.name,
                target.path.rpartition("/")[2],
                _home(target.path).rpartition("/")[2],
            }:
                if len(word) >= 6 and re.search(r"\d", word) and re.search(r"[A-Za-z]", word) and "/" not in word:
                    found.setdefault(word, set()).add(i)
        return {word: hits for word, hits in found.items() if len(hits) == 1}

    @cached_property
    def _called(self) -> dict[str, set[int]]:
        """Letters and digits of parts of paths that follow each other, and of ids and names -> runs."""
        found: dict[str, set[int]] = {}
        for i, target in enumerate(self._targets):
            parts = target.path.rpartition(".")[0].split("/") if "." in target.path else target.path.split("/")
            spans = (parts[a:b] for a in range(len(parts)) for b in range(a + 1, min(len(parts), a + 5) + 1))
            for name in (target.run_id, target.name, *map("".join, spans)):
                found.setdefault(_letters(name), set()).add(i)
        return found

    @cached_property
    def _parts(self) -> dict[str, set[int]]:
        """Parts of paths, and words of them, one and two together -> runs."""
        found: dict[str, set[int]] = {}
        for i, target in enumerate(self._targets):
            for part in target.path.lower().split("/"):
                words = _SPLIT.split(part)
                for text in {
                    part,
                    part.rpartition(".")[0],
                    *words,
                    *map("_".join, pairwise(words)),
                }:
                    found.setdefault(text, set()).add(i)
        return found


def _letters(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).lower()


def _home(path: str) -> str:
    return path.rpartition("/")[0] if re.search(r"\.[A-Za-z]\w{1,8}$", path) else path


def _normal(value: str) -> str:
    """A value as text by which equal values are equal: ``3e-4`` and ``0.0003``, ``True`` and ``true``."""
    text = value.strip().strip("'\"")
    try:
        return text if "_" in text else repr(float(text))  # Python reads 9914_2 as a number
    except ValueError:
        return _FLAGS.get(text.lower(), text)


def _in_order(
    shared: Mapping[frozenset[int], Sequence[JobLog]], targets: Sequence[LogTarget], taken: frozenset[str]
) -> dict[str, str]:
    """Returns the links of logs with the same several runs, if they are as many and both have an order."""
    found: dict[str, str] = {}
    for left, logs in shared.items():
        free = sorted((targets[i] for i in left if targets[i].run_id not in taken), key=_order)
        mine = sorted(logs, key=lambda log: log.order)
        if len(free) == len(mine) == len({log.order for log in mine}) == len(set(map(_order, free))):
            found |= {log.file.path: t.run_id for log, t in zip(mine, free, strict=True)}
    return found


def _order(target: LogTarget) -> tuple[float, tuple[int, ...]]:
    """By start, where it is known, and by the numbers in the path."""
    began = target.created_at.timestamp() if target.created_at else 0.0
    return began, tuple(int(n) for n in re.findall(r"\d{1,18}", target.path))


def _of_same_jobs(logs: Sequence[JobLog], jobs: Mapping[str, str], found: Mapping[str, str]) -> dict[str, str]:
    """Returns the links of logs of jobs of which another log is linked: their errors beside their output."""
    runs: dict[str, set[str]] = {}
    for path, run in found.items():
        runs.setdefault(jobs[path], set()).add(run)
    own = {log.file.path: runs.get(log.job, set[str]()) for log in logs}
    return {path: next(iter(mine)) for path, mine in own.items() if len(mine) == 1}


def _at_the_same_time(logs: Sequence[JobLog], targets: Sequence[LogTarget]) -> dict[str, str]:
    """Returns the links of the logs of each folder that changed last with one run each, far from all others."""
    folders: dict[str, list[JobLog]] = {}
    for log in logs:
        folders.setdefault(_folder(log.file.path), []).append(log)
    found: dict[str, str] = {}
    for mine in folders.values():
        times = sorted(log.file.mtime_ns / 1e9 for log in mine)
        apart = all(later - earlier > _APART_SECONDS for earlier, later in pairwise(times))
        pairs = [(log.file.path, _near(log, targets)) for log in mine] if apart and len(mine) > 1 else []
        if pairs and all(len(near) == 1 for _, near in pairs):
            found |= {path: near[0].run_id for path, near in pairs}
    return found


def _near(log: JobLog, targets: Sequence[LogTarget]) -> list[LogTarget]:
    """The runs that changed last at about the time of a log; none if another one is not far from it either."""
    at = log.file.mtime_ns / 1e9
    near = [t for t in targets if abs(t.changed - at) <= _APART_SECONDS]
    return near if len(near) == 1 and abs(near[0].changed - at) <= _SAME_SECONDS else []


def _folder(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[0]
