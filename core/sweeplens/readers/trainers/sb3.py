"""Reads folders of Stable-Baselines3 and the RL Zoo: logger tables, episode monitors and evaluations of one run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

import polars as pl
from msgspec.structs import replace

from sweeplens.errors import FormatError
from sweeplens.readers.decoding import compression
from sweeplens.readers.decoding.delimited.cells import header_of
from sweeplens.readers.decoding.delimited.table import ColumnPlan, TableReading, read_header, read_table
from sweeplens.readers.decoding.json_lines import JsonLines, peek
from sweeplens.readers.decoding.npz import read_arrays
from sweeplens.readers.decoding.sidecars import config_files, read_config
from sweeplens.readers.decoding.values import PointBuffer, as_number, as_step, joined_points
from sweeplens.readers.json.steps import described_by
from sweeplens.readers.protocol import Claim, Folder, Problem, Reading, Resume, RunRecord, Source
from sweeplens.readers.trainers.sb3_monitor import is_monitor, read_monitors

__all__ = ["StableBaselines3"]

_ZOO = ("config.yml", "args.yml")
_EVALUATIONS = "evaluations.npz"
_AXIS = re.compile(r"(?:.*/)?total[_ ]timesteps")
_EVAL_SERIES = {"results": "mean_reward", "ep_lengths": "mean_ep_length", "successes": "success_rate"}


class StableBaselines3:
    """Log folders of Stable-Baselines3.

    Producer: Stable-Baselines3 and 2 (logger, ``Monitor``, ``EvalCallback``), RL Baselines3 Zoo
    Files: ``progress.csv``, ``progress.json``, ``monitor.csv``, ``<k>.monitor.csv``, ``evaluations.npz``, ``<env>/config.yml``
    Reads: numbers at ``time/total_timesteps``; episodes as ``monitor/*`` at the total steps so far; mean evaluations as ``eval/*``;
        config
    Leaves: ``progress.json`` and TensorBoard files, which repeat ``progress.csv``; ``log.txt``; single episodes of evaluations
    """

    name = "sb3"
    version = 3

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims a folder with a logger table, monitors or evaluations."""
        tables = [n for n in folder.free(".csv") if _is_table(folder.head(n))]
        lines = [n for n in folder.free(".json") if n.startswith("progress") and _is_lines(folder.head(n))]
        logs = [*(tables or lines)[:1], *_episodes(folder), *(_below(folder) if tables or lines else ())]
        if logs:
            copies = tuple([*tables, *lines][1:])
            others = any("tfevents" in n for n in folder.files)
            yield Claim((*logs, *_configs(folder)), copies=copies, is_folder=bool(tables or lines) or not others)

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads everything: the logger rewrites its table when a new name appears."""
        run = source.relative
        problems: list[Problem] = []
        table = _progress(source, run)
        monitors, began = read_monitors([f.path for f in source.files if f.path.endswith("monitor.csv")], run, problems)
        known = set(table.points["metric"].unique())
        evals = _evaluations(source, run, known, problems)
        zoo, args = (read_config(source.files, names=(name,), unwrap=False) for name in _ZOO)
        problems += [Problem(path, reason) for path, reason in (*zoo.problems, *args.problems)]
        arguments = args.hyperparameters
        record = RunRecord(
            run,
            group="/".join(str(arguments[k]) for k in ("algo", "env") if arguments.get(k)),
            created_at=datetime.fromtimestamp(began, UTC) if began else None,
            hyperparameters=zoo.hyperparameters,
            metadata={f"args.{k}": v for k, v in arguments.items()},
            non_scalar=table.non_scalar,
        )
        records, broken = described_by(replace(source, files=(source.files[0], *_own(source))), [record])
        return Reading(records, joined_points((table.points, monitors, evals)), (*table.problems, *problems, *broken))


def _episodes(folder: Folder) -> list[str]:
    """Returns the monitors and evaluations of a folder."""
    monitors = [n for n in folder.free("monitor.csv") if is_monitor(folder.head(n))]
    return [*monitors, *(n for n in folder.free(_EVALUATIONS) if b"timesteps.npy" in folder.head(n)[:200])]


def _below(folder: Folder) -> list[str]:
    """Returns monitors and evaluations in subfolders of a logger's run: at most one subfolder for each kind."""
    found: dict[str, list[str]] = {}
    for name, child in folder.folders.items():
        if any("tfevents" in n or n.startswith("progress.") for n in child.files):
            return []  # a folder of several runs: their owner is unknown
        for file in _episodes(child):
            kind = _EVALUATIONS if file == _EVALUATIONS else "monitor.csv"
            found.setdefault(f"{kind}/{name}", []).append(f"{name}/{file}")
    kinds = [kind.partition("/")[0] for kind in found]
    return [path for paths in found.values() for path in paths] if len(kinds) == len(set(kinds)) else []


def _is_table(head: bytes) -> bool:
    header = header_of(head, ",") if b"timesteps" in head else None
    return header is not None and any(_AXIS.fullmatch(n) for n in header.names)


def _is_lines(head: bytes) -> bool:
    return b"timesteps" in head and any(_AXIS.fullmatch(k) for row in peek(head, most=3) for k in row)


def _configs(folder: Folder) -> tuple[str, ...]:
    """Returns the config files of the folder; the Zoo's are in a folder named after the environment."""
    homes = [n for n in folder.folders if folder.find(f"{n}/{_ZOO[0]}")]
    zoo = tuple(p for z in _ZOO if len(homes) == 1 and folder.find(p := f"{homes[0]}/{z}"))
    return (*zoo, *config_files(folder))


def _own(source: Source) -> tuple[Any, ...]:
    return tuple(f for f in source.files[1:] if not f.path.endswith(_ZOO))


def _progress(source: Source, run: str) -> TableReading:
    """Reads the logger's table from the claimed file."""
    main = source.files[0].path
    plain = compression.plain_name(main)
    if plain.endswith(".json"):
        return _from_lines(main, run)
    header = read_header(main, ",") if plain.endswith(".csv") and not plain.endswith("monitor.csv") else None
    axis = next((n for n in header.names if _AXIS.fullmatch(n)), "") if header else ""
    return read_table(main, header, ColumnPlan(axis=axis, keep_axis=True), run) if header else TableReading()


def _from_lines(path: str, run: str) -> TableReading:
    table, points = TableReading(), PointBuffer()
    lines = JsonLines(compression.line_pieces(path), path)
    for line in lines:
        axis = next((k for k in line.value if _AXIS.fullmatch(k)), "")
        step = as_step(line.value.get(axis))
        table.last_step = table.last_step if step is None else step
        _add(points, run, table, line.value)
    table.points, table.problems = points.frame(), lines.problems
    return table


def _add(points: PointBuffer, run: str, table: TableReading, row: Mapping[str, Any]) -> None:
    for name, value in row.items():
        number = as_number(value)
        if number is None:
            table.non_scalar[name] = table.non_scalar.get(name, 0) + 1
        else:
            points.add(run, name, table.last_step, number)


def _evaluations(source: Source, run: str, known: set[str], problems: list[Problem]) -> pl.DataFrame:
    """Returns the mean over each evaluation's episodes, without metrics that the logger has written too."""
    points = PointBuffer()
    for entry in source.files:
        if not entry.path.endswith(_EVALUATIONS):
            continue
        try:
            arrays = read_arrays(entry.path, ("timesteps", *_EVAL_SERIES))
        except (FormatError, OSError) as error:
            problems.append(Problem(entry.path, str(error)))
            continue
        steps = [as_step(float(s)) for s in arrays["timesteps"].ravel()] if "timesteps" in arrays else []
        for member, name in _EVAL_SERIES.items():
            if member in arrays and f"eval/{name}" not in known:
                _means(points, run, f"eval/{name}", steps, arrays[member])
    return points.frame()


def _means(points: PointBuffer, run: str, name: str, steps: Sequence[int | None], values: Any) -> None:
    if not values.ndim or len(values) != len(steps) or not values.size:
        return
    rows = cast("list[list[float]]", values.reshape(len(steps), -1).tolist())
    for index, (step, row) in enumerate(zip(steps, rows, strict=True)):
        points.add(run, name, index if step is None else step, sum(row) / len(row))
