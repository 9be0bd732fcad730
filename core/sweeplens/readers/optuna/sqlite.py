"""Reads Optuna's relational storage: each trial of each study is a run."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sweeplens.readers.decoding.json_lines import decode
from sweeplens.readers.decoding.point_columns import left_out, points_of_rows
from sweeplens.readers.decoding.sqlite import SqliteDatabase, databases, read_database
from sweeplens.readers.decoding.values import as_step, as_time, micros_of
from sweeplens.readers.optuna.records import UNKNOWN, Study, Trial, decoded, objective, record_of, study_of
from sweeplens.readers.protocol import Claim, Folder, Problem, Reading, Resume, Source

__all__ = ["Optuna"]

_TABLES = {
    "studies": ("study_id", "study_name"),
    "trials": ("trial_id", "study_id", "state"),
    "trial_params": ("param_name", "param_value", "distribution_json"),
}
_WORDS = {"INF_POS": math.inf, "INF_NEG": -math.inf, "NAN": math.nan}


_Studies = Mapping[Any, Study]
_PointRow = tuple[str, str, Any, Any, Any]


class Optuna:
    """Studies of Optuna.

    Producer: Optuna with ``sqlite:///...`` as its storage
    Files: ``*.db``, ``*.sqlite`` with the tables ``studies``, ``trials``, ``trial_params``
    Reads: each trial as the run ``study/number``: decoded parameters, intermediate values
        as ``intermediate_value``, the objective as ``value`` (several: ``values_0``, ... or the study's metric names),
        state, times, attributes, the study as group, and its directions
    Leaves: internal data of samplers and pruners
    """

    name = "optuna"
    version = 3

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims databases that have Optuna's tables."""
        return databases(folder, _TABLES)

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads all trials of all studies."""
        return read_database(source.files[0].path, _extract)


def _extract(database: SqliteDatabase) -> Reading:
    studies, params, attributes = _studies(database), _params(database), _attributes(database, "trial")
    trials = {t.key: t for t in _trials(database, studies)}
    runs = tuple(
        record_of(t, studies.get(t.study, UNKNOWN), params.get(t.key, {}), attributes.get(t.key))
        for t in trials.values()
    )
    reported = list(_intermediate(database, trials))
    last: dict[str, int] = {}
    for run, _, step, *_ in reported:
        last[run] = max(as_step(step) or 0, last.get(run, 0))
    points, dropped = points_of_rows([*reported, *_final(database, trials, studies, last)])
    return Reading(runs, points, (*database.problems, *left_out(dropped, database.path, "trial values")))


def _trials(database: SqliteDatabase, studies: _Studies) -> Iterator[Trial]:
    """Yields trials in order; without a stored number (old storages), the number is the position in the study."""
    columns = database.columns("trials")
    number, begin, end = (c if c in columns else "NULL" for c in ("number", "datetime_start", "datetime_complete"))
    seen: dict[Any, int] = defaultdict(int)
    query = f"SELECT trial_id, {number}, study_id, state, {begin}, {end} FROM trials ORDER BY trial_id"
    for key, given, study, state, started, ended in database.rows(query):
        name = studies[study].name if study in studies else str(study)
        count = seen[study] if given is None else given
        yield Trial(f"{name}/{count}", key, study, str(state), as_time(started), as_time(ended))
        seen[study] += 1


def _studies(database: SqliteDatabase) -> _Studies:
    user, system = _attributes(database, "study"), _attributes(database, "study", "system")
    directions: dict[Any, list[str]] = defaultdict(list)
    query = "SELECT study_id, direction FROM {} ORDER BY study_id, objective"
    for study, word in _rows_if_table(database, "study_directions", query):
        directions[study].append(str(word).lower())
    found: dict[Any, Study] = {}
    for study, name in database.rows("SELECT study_id, study_name FROM studies ORDER BY study_id"):
        names = system.get(study, {}).get("study:metric_names")
        found[study] = study_of(str(name), directions[study], names, user.get(study))
    return found


def _params(database: SqliteDatabase) -> dict[Any, dict[str, object]]:
    found: dict[Any, dict[str, object]] = defaultdict(dict)
    query = "SELECT trial_id, param_name, param_value, distribution_json FROM trial_params ORDER BY param_id"
    for trial, name, value, distribution in database.rows(query):
        try:
            found[trial][str(name)] = decoded(value, str(distribution))
        except (ValueError, TypeError, LookupError, OverflowError) as error:
            found[trial][str(name)] = value if isinstance(value, int | float | str) else None
            database.problems.append(
                Problem(
                    database.path,
                    f"parameter {name!r} has a distribution that cannot be read ({error}): kept as it is stored",
                )
            )
    return found


def _intermediate(database: SqliteDatabase, trials: Mapping[Any, Trial]) -> Iterator[_PointRow]:
    table = "trial_intermediate_values"
    columns = database.columns(table)
    if not columns:
        return
    kind = "intermediate_value_type" if "intermediate_value_type" in columns else "NULL"
    query = f"SELECT trial_id, step, intermediate_value, {kind} FROM {table} ORDER BY trial_intermediate_value_id"
    for trial, step, value, word in database.rows(query):
        if trial in trials:
            yield trials[trial].run, "intermediate_value", step, _value(value, word), None


def _final(
    database: SqliteDatabase, trials: Mapping[Any, Trial], studies: _Studies, last: Mapping[str, int]
) -> Iterator[_PointRow]:
    """Yields the objectives at the last step that the trial reported, or at 0."""
    columns = database.columns("trial_values")
    if not columns:
        return
    kind = "value_type" if "value_type" in columns else "NULL"
    query = f"SELECT trial_id, objective, value, {kind} FROM trial_values ORDER BY trial_value_id"
    for key, index, value, word in database.rows(query):
        trial = trials.get(key)
        if trial is None:
            continue
        name = objective(studies.get(trial.study, UNKNOWN), index)
        wall = micros_of(trial.end) if trial.end else None
        yield trial.run, name, last.get(trial.run, 0), _value(value, word), wall


def _value(value: Any, word: Any) -> Any:
    if word in _WORDS:
        return _WORDS[word]
    return math.nan if value is None else value


def _attributes(database: SqliteDatabase, owner: str, kind: str = "user") -> dict[Any, dict[str, object]]:
    """Returns the attributes of trials or studies, decoded from JSON; other text stays text."""
    found: dict[Any, dict[str, object]] = defaultdict(dict)
    for key, name, text in _rows_if_table(
        database, f"{owner}_{kind}_attributes", f"SELECT {owner}_id, key, value_json FROM {{}}"
    ):
        try:
            found[key][str(name)] = decode(text.encode("utf-8", "replace"))
        except (ValueError, AttributeError):
            found[key][str(name)] = str(text)
    return found


def _rows_if_table(database: SqliteDatabase, table: str, query: str) -> Iterator[tuple[Any, ...]]:
    if database.columns(table):
        yield from database.rows(query.format(table))
