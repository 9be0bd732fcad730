"""Tables with one row a run: ``cv_results_`` of scikit-learn, ``trials_dataframe()`` of Optuna, a W&B run table, ``results.csv``.

The rule. A table of such a producer is known by its columns. Any other one is such a table if no column counts steps, it has
names of settings (``lr``, ``batch_size``, ``seed``) and of results (a loss, an accuracy), and no two rows have the same settings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import PurePath

from msgspec import Struct

from sweeplens.counting import count_of
from sweeplens.errors import FormatError
from sweeplens.frames.goals import known_goal
from sweeplens.readers.decoding import compression
from sweeplens.readers.decoding.delimited.cells import absent, cell_number, header_of, records, sample
from sweeplens.readers.decoding.delimited.own_tables import is_own_table
from sweeplens.readers.decoding.settings_text import value_in_text
from sweeplens.readers.decoding.sidecars import SETTINGS_NAMES
from sweeplens.readers.decoding.values import PointBuffer, status_of
from sweeplens.readers.protocol import Claim, Folder, Problem, Reading, Resume, RunRecord, Source
from sweeplens.readers.tables.csv_metrics import table_plan

__all__ = ["RunTable", "is_setting", "setting_in"]

_SETTINGS = re.compile(
    r"(?i)(?:.*[._/ ])?(?:lr|learning_?rate|batch_?size|bs|seed|optimi[sz]er|weight_?decay|wd|dropout|momentum|gamma|alpha"
    r"|hidden\w*"
    r"|num_layers|n_layers|depth|width|model|arch(?:itecture)?|dataset|task|fold|n_estimators|max_depth|epochs|num_epochs|max_epochs)"
)
_NAMES = ("name", "run", "run_name", "run_id", "id", "trial_id", "experiment", "number", "trial")
_STATES = ("state", "status")
_STEPS = ("_step", "training_iteration", "best_step", "best_epoch")
_ABOUT = frozenset(
    "created user runtime _runtime _timestamp tags sweep notes hostname date timestamp logdir pid node_ip".split()
)
_MARKS = ("param_", "params_", "config/", "State")
_SKLEARN = {"params", "mean_test_score", "rank_test_score"}
_WANDB = {"Name", "State"}


class _Roles(Struct, frozen=True):
    """The columns of a table by their role."""

    settings: dict[str, str]  # column -> name of the hyperparameter
    results: tuple[str, ...]
    name: str = ""
    state: str = ""
    step: str = ""
    guessed: bool = False


class RunTable:
    """Tables in which each row is a run.

    Producer: scikit-learn (``cv_results_``), Optuna (``trials_dataframe()``), W&B (export of the run table), Ray Tune (``get_dataframe()``), hand-written ``results.csv``
    Files: ``*.csv``, ``*.tsv`` whose columns are settings and results, and no steps
    Reads: each row as the run ``file/name``, or ``file/row``: settings as hyperparameters, results as values at the step of the row, else at 0; states
    Leaves: rows about runs that have logs (by name, or by the settings of nearly all rows); text that is no setting; which columns are settings is guessed by their names where the producer does not say it, with a warning
    """  # noqa: E501 - a line of docs/formats.md each

    name = "run_table"
    version = 1

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims each such table."""
        for name in folder.free(".csv", ".tsv"):
            if (
                name not in SETTINGS_NAMES
                and not is_own_table(folder.head(name))
                and _roles_in(name, folder.head(name)) is not None
            ):
                yield Claim((name,), is_folder=False)

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads the whole table."""
        path = source.files[0].path
        data = compression.read_plain(path)
        header = header_of(data[: 1 << 16])
        roles = _roles_in(path, data[: 1 << 16]) if header is not None else None
        if header is None or roles is None:
            raise FormatError(f"{path} is no table of runs any more")
        points, runs, problems = PointBuffer(), list[RunRecord](), list[Problem]()
        for row in records(data[header.start :], header.separator, header.lines + 1):
            if len(row.cells) != len(header.names):
                problems.append(
                    Problem(
                        path,
                        f"{count_of(len(row.cells), 'cell')} under {count_of(len(header.names), 'column')}: left out",
                        row.line,
                    )
                )
                continue
            cells = {n: c.strip() for n, c in zip(header.names, row.cells, strict=True) if n and not absent(c.strip())}
            runs.append(_run(cells, roles, source.relative, len(runs), header.separator, points))
        if roles.guessed:
            problems.append(Problem(path, _guess(roles), kind="warning"))
        return Reading(_unique(runs), points.frame(), tuple(problems))


def is_setting(name: str) -> bool:
    """Whether a name is that of a setting."""
    return bool(_SETTINGS.fullmatch(name))


def setting_in(cell: str, separator: str) -> object:
    """Returns the setting in a cell; also a number with a decimal comma."""
    value = value_in_text(cell)
    number = cell_number(cell, separator) if isinstance(value, str) and "," in cell else None
    return value if number is None else number


def _roles_in(name: str, head: bytes) -> _Roles | None:
    """Returns the roles of the columns of a table; None where it is no table of runs."""
    header = header_of(head)
    if header is None or not any(_SETTINGS.fullmatch(n) or n.startswith(_MARKS) for n in header.names):
        return None  # names alone rule out most tables
    rows = sample(head, header)
    numbers = [n for n in header.names if n and _is_number(n, rows, header.separator)]
    known = _of_producer(header.names, numbers)
    if known is not None:
        return known if rows else None
    if len(rows) < 2 or table_plan(PurePath(name).name, head) is not None:
        return None
    return _by_names(header.names, numbers, rows)


def _is_number(column: str, rows: Sequence[dict[str, str]], separator: str) -> bool:
    cells = [r[column] for r in rows if column in r]
    return bool(cells) and all(cell_number(c, separator) is not None for c in cells)


def _of_producer(names: Sequence[str], numbers: Sequence[str]) -> _Roles | None:
    """Returns the roles of a table of a known producer."""
    if set(names) >= _SKLEARN:
        settings = {n: n.removeprefix("param_") for n in names if n.startswith("param_")}
        return _Roles(settings, tuple(n for n in numbers if n not in settings))
    optuna = {n: n.removeprefix("params_") for n in names if n.startswith("params_")}
    if optuna and "number" in names and "state" in names:
        results = tuple(n for n in numbers if re.fullmatch(r"values?(?:_.*)?|user_attrs_.*", n))
        return _Roles(optuna, results, "number", "state")
    ray = {n: n.removeprefix("config/") for n in names if n.startswith("config/")}
    if ray and "trial_id" in names:
        results = tuple(n for n in numbers if n not in ray and n.lower() not in _ABOUT and n not in _STEPS)
        return _Roles(ray, results, "trial_id", "", next((s for s in _STEPS if s in numbers), ""))
    if set(names) >= _WANDB:
        about = {*_WANDB, *(n for n in names if n.lower() in _ABOUT or n.lower() == "id"), *_STEPS}
        results = tuple(n for n in numbers if n not in about and _is_result(n))
        settings = {n: n for n in names if n and n not in about and n not in results}
        return _Roles(settings, results, "Name", "State", "_step" if "_step" in numbers else "", guessed=True)
    return None


def _by_names(names: Sequence[str], numbers: Sequence[str], rows: Sequence[dict[str, str]]) -> _Roles | None:
    """Returns the roles of the columns of a table by their names; None where these do not tell."""
    results = tuple(n for n in numbers if _is_result(n) and not _SETTINGS.fullmatch(n))
    label = next((n for n in names if n.lower() in _NAMES), "")
    state = next((n for n in names if n.lower() in _STATES), "")
    settings = {n: n for n in names if n and n not in results and n not in (label, state) and n.lower() not in _ABOUT}
    if not results or not any(_SETTINGS.fullmatch(n) for n in settings):
        return None
    keys = [tuple(r.get(n, "") for n in (*settings, *((label,) if label else ()))) for r in rows]
    return _Roles(settings, results, label, state, guessed=True) if len(set(keys)) == len(keys) else None


def _is_result(column: str) -> bool:
    return known_goal(column) != "unknown"


def _run(cells: dict[str, str], roles: _Roles, file: str, place: int, separator: str, points: PointBuffer) -> RunRecord:
    """Returns the run of a row, and adds its results."""
    label = cells.get(roles.name, "") or str(place)
    run = f"{file}/{label}"
    step = int(cell_number(cells.get(roles.step, ""), separator) or 0) if roles.step else 0
    for name in roles.results:
        value = cell_number(cells[name], separator) if name in cells else None
        if value is not None:
            points.add(run, name, step, value)
    state = cells.get(roles.state, "")
    return RunRecord(
        run,
        name=cells.get(roles.name, "") if roles.name and not label.isdigit() else "",
        group=file,
        status=status_of(state) or ("finished" if not roles.state else ""),
        hyperparameters={to: setting_in(cells[n], separator) for n, to in roles.settings.items() if n in cells},
    )


def _unique(runs: Sequence[RunRecord]) -> tuple[RunRecord, ...]:
    """Returns the runs, of several with one id the last."""
    return tuple({r.id: r for r in runs}.values())


def _guess(roles: _Roles) -> str:
    settings, results = ", ".join(list(roles.settings)[:6]), ", ".join(roles.results[:6])
    return f"read as one run a row; by their names, settings are {settings}, and results {results}"
