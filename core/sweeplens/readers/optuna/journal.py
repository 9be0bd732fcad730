"""Reads Optuna's journal: each line of JSON is an operation on a study. All of them are replayed from the beginning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from msgspec import Struct, field

from sweeplens.readers.decoding import compression
from sweeplens.readers.decoding.json_lines import JsonLines, peek
from sweeplens.readers.decoding.point_columns import left_out, points_of_rows
from sweeplens.readers.decoding.values import as_number, as_step, as_time, micros_of
from sweeplens.readers.optuna.records import Study, Trial, decoded, objective, record_of, study_of
from sweeplens.readers.protocol import Claim, Folder, Problem, Reading, Resume, RunRecord, Source

__all__ = ["OptunaJournal"]

_SUFFIXES = (".log", ".jsonl", ".journal", ".json", ".txt")
_CREATE_STUDY, _DELETE_STUDY, _STUDY_USER, _STUDY_SYSTEM, _CREATE_TRIAL = range(5)
_PARAM, _STATE, _INTERMEDIATE, _TRIAL_USER = range(5, 9)
_DIRECTIONS = ("not_set", "minimize", "maximize")
_STATES = ("RUNNING", "COMPLETE", "PRUNED", "FAIL", "WAITING")
_ENDED = frozenset({"COMPLETE", "PRUNED", "FAIL"})


class OptunaJournal:
    """Journals of Optuna.

    Producer: Optuna with ``JournalStorage`` on a file
    Files: ``*.log``, ``*.jsonl``, ``*.journal`` whose lines have ``op_code`` and ``worker_id``
    Reads: the same as from the database of the study: each trial as the run ``study/number``, its parameters, intermediate
        values, objectives, state, times and attributes; not the studies that were deleted
    Leaves: internal data of samplers and pruners; locks and snapshots beside the journal
    """

    name = "optuna_journal"
    version = 2

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims files that begin like a journal."""
        for name in folder.free(*_SUFFIXES):
            head = folder.head(name)
            if b"op_code" in head and any("op_code" in row and "worker_id" in row for row in peek(head, most=3)):
                yield Claim((name,), is_folder=False)

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads the whole journal: a line may change any earlier trial."""
        path = source.files[0].path
        lines = JsonLines(compression.line_pieces(path), path)
        replay = _JournalReplay(path)
        for line in lines:
            replay.add(line.value, line.number)
        return replay.reading(lines.problems)


class _JournalRecord(Struct):
    """A study or a trial while the journal is replayed."""

    study: int
    number: int = 0  # of a study: trials so far
    name: str = ""
    directions: list[str] = field(default_factory=list[str])
    system: dict[str, Any] = field(default_factory=dict[str, Any])
    state: str = "RUNNING"
    begin: object = None
    end: object = None
    params: dict[str, object] = field(default_factory=dict[str, object])
    user: dict[str, object] = field(default_factory=dict[str, object])
    reported: dict[object, object] = field(default_factory=dict[object, object])
    values: list[Any] = field(default_factory=list[Any])


class _JournalReplay:
    """Replays operations and returns runs and points. Operations on missing studies or trials are ignored, as in Optuna."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._studies: dict[int, _JournalRecord] = {}
        self._created = 0
        self._trials: list[_JournalRecord] = []
        self._problems: list[Problem] = []

    def add(self, row: Mapping[str, Any], line: int) -> None:
        """Replays one operation."""
        operation, study = row.get("op_code"), row.get("study_id")
        if operation == _CREATE_STUDY:
            self._new_study(row)
        elif operation == _DELETE_STUDY and isinstance(study, int):
            self._studies.pop(study, None)
        elif operation in (_STUDY_USER, _STUDY_SYSTEM) and isinstance(study, int) and study in self._studies:
            known = self._studies[study]
            (known.user if operation == _STUDY_USER else known.system).update(
                _object(row.get("user_attr" if operation == _STUDY_USER else "system_attr"))
            )
        elif operation == _CREATE_TRIAL and isinstance(study, int) and study in self._studies:
            self._new_trial(study, row, line)
        else:
            number = row.get("trial_id")
            if isinstance(number, int) and 0 <= number < len(self._trials):
                self._of_trial(self._trials[number], row, line)

    def _new_study(self, row: Mapping[str, Any]) -> None:
        name = str(row.get("study_name"))
        if any(s.name == name for s in self._studies.values()):
            return
        codes = _list(row.get("directions"))
        ways = [_DIRECTIONS[c] for c in codes if isinstance(c, int) and 0 <= c < len(_DIRECTIONS)]
        self._studies[self._created] = _JournalRecord(self._created, name=name, directions=ways)
        self._created += 1

    def _new_trial(self, study: int, row: Mapping[str, Any], line: int) -> None:
        record = self._studies[study]
        trial = _JournalRecord(study, record.number, begin=row.get("datetime_start"))
        record.number += 1
        trial.state = _state(row.get("state"), "RUNNING")
        trial.end = row.get("datetime_complete")
        distributions = _object(row.get("distributions"))
        for name, value in _object(row.get("params")).items():
            self._param(trial, name, value, distributions.get(name), line)
        trial.user.update(_object(row.get("user_attrs")))
        trial.reported.update(_object(row.get("intermediate_values")))
        trial.values = _list(row.get("values")) or ([row["value"]] if row.get("value") is not None else [])
        self._trials.append(trial)

    def _of_trial(self, trial: _JournalRecord, row: Mapping[str, Any], line: int) -> None:
        """Applies an operation to a trial; a trial that has ended does not change."""
        operation = row.get("op_code")
        if trial.state in _ENDED:
            return
        if operation == _PARAM:
            value, distribution = row.get("param_value_internal"), row.get("distribution")
            self._param(trial, str(row.get("param_name")), value, distribution, line)
        elif operation == _STATE:
            trial.state = _state(row.get("state"), trial.state)
            trial.begin = row.get("datetime_start") or trial.begin
            trial.end = row.get("datetime_complete") or trial.end
            trial.values = _list(row.get("values")) or trial.values
        elif operation == _INTERMEDIATE:
            trial.reported[row.get("step")] = row.get("intermediate_value")
        elif operation == _TRIAL_USER:
            trial.user.update(_object(row.get("user_attr")))

    def _param(self, trial: _JournalRecord, name: str, value: Any, distribution: object, line: int) -> None:
        try:
            trial.params[name] = decoded(value, str(distribution))
        except (ValueError, TypeError, LookupError, OverflowError) as error:
            trial.params[name] = value if isinstance(value, int | float | str) else None
            reason = f"parameter {name!r} has a distribution that cannot be read ({error}): kept as it is stored"
            self._problems.append(Problem(self._path, reason, line))

    def reading(self, problems: Iterable[Problem]) -> Reading:
        """Returns the trials of the remaining studies as runs."""
        studies = {
            key: study_of(s.name, s.directions, s.system.get("study:metric_names"), s.user)
            for key, s in self._studies.items()
        }
        kept = [t for t in self._trials if t.study in studies]
        records, rows = list[RunRecord](), list[tuple[Any, ...]]()
        for trial in kept:
            study = studies[trial.study]
            about = _about(trial, study)
            records.append(record_of(about, study, trial.params, trial.user))
            rows += _rows(trial, study, about)
        points, dropped = points_of_rows(cast("Any", rows))
        lost = left_out(dropped, self._path, "trial values")
        return Reading(tuple(records), points, (*problems, *self._problems, *lost))


def _about(trial: _JournalRecord, study: Study) -> Trial:
    begin, end = as_time(trial.begin), as_time(trial.end)
    return Trial(f"{study.name}/{trial.number}", None, trial.study, trial.state, begin, end)


def _rows(trial: _JournalRecord, study: Study, about: Trial) -> Iterable[tuple[Any, ...]]:
    """Yields the intermediate values in reported order, then the objectives at the last step."""
    last = 0
    for key, value in trial.reported.items():
        step = as_step(int(key) if isinstance(key, str) and key.lstrip("-").isdigit() else key)
        last = max(last, step or 0)
        yield about.run, "intermediate_value", step, _value(value), None
    wall = micros_of(about.end) if about.end else None
    for index, value in enumerate(trial.values):
        yield about.run, objective(study, index), last, _value(value), wall


def _value(value: object) -> float | None:
    return float("nan") if value is None else as_number(value)


def _state(code: object, otherwise: str) -> str:
    return _STATES[code] if isinstance(code, int) and 0 <= code < len(_STATES) else otherwise


def _object(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []
