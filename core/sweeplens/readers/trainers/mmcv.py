"""Reads mmcv's `*.log.json`: a first line about the run, then one JSON object for each logging interval."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from sweeplens.errors import FormatError
from sweeplens.readers.decoding import compression
from sweeplens.readers.decoding.json_lines import JsonLines, peek
from sweeplens.readers.decoding.python_config import read_python_config
from sweeplens.readers.decoding.values import PointBuffer, as_step, as_time
from sweeplens.readers.protocol import Claim, Folder, Problem, Reading, Resume, RunRecord, Source

__all__ = ["Mmcv"]

_SUFFIX = ".log.json"
_AXES = ("epoch", "iter")
_META = ("env_info", "mmcv_version", "config", "exp_name", "hook_msgs", "seed")
_LONG = ("env_info", "config", "hook_msgs", "CLASSES", "PALETTE")  # reports of many lines: kept as metadata
_BY_ITERATION = "IterBasedRunner"


class Mmcv:
    """Logs of mmcv 1.x.

    Producer: mmcv's TextLoggerHook (mmdet 2, mmseg 0, mmcls 0, mmaction 0, ...)
    Files: ``*.log.json`` of lines with ``mode``, ``epoch``, ``iter``; the one ``*.py`` beside it
    Reads: every number as ``<mode>/<name>`` at its epoch, since ``iter`` restarts in each epoch; at its iteration where that
        continues over the epochs; the facts in the first line; the configuration in it, or in the file beside it, read as
        data; a resumed run is a second file and a separate run
    Leaves: text and lists, which are counted by name; the iteration within the epoch; the text log and ``tf_logs/`` beside
        it, which hold the same data
    """

    name = "mmcv"
    version = 1

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims files ``*.log.json`` whose first lines are mmcv's."""
        mine = [n for n in folder.free(_SUFFIX) if any(_is_row(r) or _is_meta(r) for r in peek(folder.head(n)))]
        boards = folder.folders.get("tf_logs")
        configs = folder.free(".py") if mine else []
        beside = tuple(configs) if len(configs) == 1 else ()
        for name in mine:
            text = compression.plain_name(name).removesuffix(".json")
            copies = [text] if text in folder.files else []
            if boards and name == mine[0]:
                copies += [path for path, _ in boards.tree("tf_logs/")]
            yield Claim((name, *beside), tuple(copies), owns=("tf_logs",) if boards else (), is_folder=False)

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads all rows: their axis is known only at the end."""
        main = source.files[0].path
        lines = JsonLines(compression.line_pieces(main), main)
        meta: dict[str, Any] = {}
        rows: list[dict[str, Any]] = []
        for line in lines:
            if "mode" in line.value:
                rows.append(line.value)
            else:
                meta = {**line.value, **meta}
        run = source.relative
        points, non_scalar = _points(run, rows, _axis(rows, meta))
        problems: list[Problem] = []
        config = _config(source, meta.get("config"), problems)
        record = RunRecord(
            run,
            name=str(meta.get("exp_name") or ""),
            group=run.rsplit("/", 1)[0] if "/" in run else "",
            created_at=as_time(meta.get("time")),
            hyperparameters={**config, **{k: v for k, v in meta.items() if k not in _LONG}},
            metadata={k: meta[k] for k in _LONG if k in meta and not (config and k == "config")},
            non_scalar=non_scalar,
        )
        return Reading((record,), points.frame(), (*lines.problems, *problems))


def _axis(rows: list[dict[str, Any]], meta: dict[str, Any]) -> str:
    """Returns the axis: ``iter`` where the runner's name shows it or ``iter`` grows over the epochs, else ``epoch``."""
    if any(_BY_ITERATION in str(meta.get(k, "")) for k in _LONG):
        return "iter"
    train = [(_step(r, "epoch", 0), _step(r, "iter", 0)) for r in rows if r["mode"] == "train"]
    grew = [later[1] > earlier[1] for earlier, later in pairwise(train) if later[0] > earlier[0]]
    return "iter" if grew and all(grew) else "epoch"


def _config(source: Source, text: object, problems: list[Problem]) -> dict[str, Any]:
    """Returns the configuration in the first line, else in the file beside the log; {} where there is neither."""
    try:
        if isinstance(text, str):
            return read_python_config(text)
        if len(source.files) > 1:
            return read_python_config(compression.read_config_text(source.files[1].path))
    except (FormatError, OSError) as error:
        problems.append(Problem(source.files[0 if isinstance(text, str) else 1].path, str(error), kind="warning"))
    return {}


def _points(run: str, rows: list[dict[str, Any]], axis: str) -> tuple[PointBuffer, dict[str, int]]:
    """Converts rows to points. In a run by iterations, rows of other modes get the last training step: their count restarts."""
    points, non_scalar = PointBuffer(), dict[str, int]()
    now = 0
    for row in rows:
        mode = str(row["mode"])
        if axis == "epoch" or mode == "train":
            now = _step(row, axis, now)
        for key, value in row.items():
            if key != "mode" and key not in _AXES:
                points.add_nested(non_scalar, (run, f"{mode}/{key}", now), value)
    return points, non_scalar


def _step(row: dict[str, Any], axis: str, now: int) -> int:
    found = (as_step(row.get(a)) for a in dict.fromkeys((axis, *_AXES)))
    return next((step for step in found if step is not None), now)


def _is_row(row: dict[str, Any]) -> bool:
    return isinstance(row.get("mode"), str) and all(as_step(row.get(a)) is not None for a in _AXES)


def _is_meta(row: dict[str, Any]) -> bool:
    return "mode" not in row and sum(k in row for k in _META) > 1
