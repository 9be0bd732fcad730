"""Reads NVlabs' training statistics: `stats.jsonl` of StyleGAN 2 and 3, EDM and projects based on them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, cast

from msgspec import Struct, field

from sweeplens.readers.decoding import compression
from sweeplens.readers.decoding.json_lines import JsonLines, peek
from sweeplens.readers.decoding.sidecars import config_files, read_config
from sweeplens.readers.decoding.values import PointBuffer, as_number, as_time
from sweeplens.readers.protocol import Claim, Folder, Problem, Reading, Resume, RunRecord, Source

__all__ = ["NvlabsStats"]

_PARTS = ("num", "mean", "std")
_MARK = re.compile(rb'"num"|"Progress/')
_OPTIONS = "training_options.json"
_AXES = ("Progress/kimg", "Progress/tick")


class NvlabsStats:
    """Training statistics of NVlabs.

    Producer: stylegan2-ada-pytorch, stylegan3, EDM and projects based on them (``training_stats``)
    Files: ``*.jsonl`` of ``{name: {num, mean, std}}``, ``metric-*.jsonl``, ``training_options.json``
    Reads: each statistic as ``<name>.num|mean|std``, with thousands of images as step; metrics at their snapshot; options; times
    Leaves: TensorBoard files, which repeat the means; the text log; the duration of evaluations
    """

    name = "nvlabs_stats"
    version = 2

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims files of statistics; the first one with the metrics and options of its folder."""
        free = [(n, folder.head(n)) for n in folder.free(".jsonl")]
        mine = [n for n, head in free if _MARK.search(head) and any(map(_is_stats, peek(head, most=3)))]
        metrics = [
            n
            for n, head in free
            if n not in mine and b"snapshot_pkl" in head and any(map(_is_metric, peek(head, most=3)))
        ]
        for name in mine:
            options = (_OPTIONS,) if _OPTIONS in folder.files else ()
            beside = (*metrics, *options, *config_files(folder)) if name == mine[0] else ()
            yield Claim((name, *beside), is_folder=name == mine[0])

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads the statistics and the files of metrics whole: they are small."""
        state = _StatsState(source.relative)
        problems: list[Problem] = []
        for entry in source.files:
            if not compression.plain_name(entry.path).endswith(".jsonl"):
                continue
            lines = JsonLines(compression.line_pieces(entry.path), entry.path)
            for line in lines:
                _add_row(state, line.value)
            problems += lines.problems
        side = read_config(source.files, names=(_OPTIONS,), unwrap=False)
        rest = read_config(source.files)
        problems += [Problem(path, reason) for path, reason in (*side.problems, *rest.problems)]
        config = {**rest.hyperparameters, **side.hyperparameters}
        planned = as_number(config.get("total_kimg"))
        record = RunRecord(
            source.relative,
            status="finished" if planned is not None and state.kimg >= planned > 0 else "",
            created_at=state.first,
            updated_at=state.last,
            hyperparameters=config,
            non_scalar=state.non_scalar,
        )
        return Reading((record,), state.points.frame(), tuple(problems))


class _StatsState(Struct):
    """The state while the rows are read."""

    run: str
    points: PointBuffer = field(default_factory=PointBuffer)
    non_scalar: dict[str, int] = field(default_factory=dict[str, int])
    rows: int = 0
    step: int = 0
    kimg: float = 0.0
    first: datetime | None = None
    last: datetime | None = None


def _is_stats(row: Mapping[str, Any]) -> bool:
    """Whether a row holds statistics; in a row that the head cuts off, the first values are complete."""
    values = [cast("dict[str, Any]", v) for v in row.values() if isinstance(v, dict)]
    return any(all(p in v for p in _PARTS) for v in values) or (_AXES[0] in row and _AXES[1] in row)


def _is_metric(row: Mapping[str, Any]) -> bool:
    return isinstance(row.get("results"), dict) and "metric" in row and "snapshot_pkl" in row


def _add_row(state: _StatsState, row: Mapping[str, Any]) -> None:
    wall = as_time(row.get("timestamp"))
    state.first = state.first or wall
    state.last = wall or state.last
    if _is_metric(row):
        step = _snapshot(row.get("snapshot_pkl"))
        _numbers(state, "", cast("dict[str, Any]", row["results"]), state.step if step is None else step, wall)
        return
    state.step = _step(state, row)
    state.rows += 1
    for name, value in row.items():
        if isinstance(value, dict):
            _numbers(state, f"{name}.", cast("dict[str, Any]", value), state.step, wall)
        elif name != "timestamp" or wall is None:
            _numbers(state, "", {name: value}, state.step, wall)


def _step(state: _StatsState, row: Mapping[str, Any]) -> int:
    """Returns thousands of images, rounded down as in the tool's TensorBoard files; else ticks; else the row's position."""
    for axis in _AXES:
        value = row.get(axis)
        mean = as_number(cast("dict[str, Any]", value).get("mean")) if isinstance(value, dict) else None
        if mean is not None and abs(mean) < 2**53:
            state.kimg = mean if axis == _AXES[0] else state.kimg
            return int(mean // 1)
    return state.rows


def _snapshot(name: object) -> int | None:
    digits = re.search(r"(\d{1,15})\.\w+$", str(name))
    return int(digits[1]) if digits else None


def _numbers(state: _StatsState, prefix: str, values: Mapping[str, Any], step: int, wall: datetime | None) -> None:
    for name, value in values.items():
        number = as_number(value)
        if number is None:
            state.non_scalar[prefix + name] = state.non_scalar.get(prefix + name, 0) + 1
        else:
            state.points.add(state.run, prefix + name, step, number, wall)
