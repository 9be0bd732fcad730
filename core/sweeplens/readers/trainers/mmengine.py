"""Reads mmengine's `vis_data/scalars.json` and its configuration in Python, which is never executed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

from msgspec.structs import replace

from sweeplens.errors import FormatError
from sweeplens.readers.decoding.compression import line_pieces, read_config_text
from sweeplens.readers.decoding.json_lines import JsonLines, peek
from sweeplens.readers.decoding.python_config import read_python_config
from sweeplens.readers.decoding.values import PointBuffer, as_step
from sweeplens.readers.protocol import Claim, FileStat, Folder, Problem, Reading, Resume, RunRecord, Source

__all__ = ["Mmengine"]

_HOME, _SCALARS, _CONFIG = "vis_data", "scalars.json", "config.py"


class Mmengine:
    """Run folders of mmengine.

    Producer: mmengine's LocalVisBackend (mmdet 3, mmseg 1, mmpretrain, ...)
    Files: ``<timestamp>/vis_data/scalars.json`` and ``config.py``
    Reads: every number at its ``step`` (iterations in training, epochs in validation, as mmengine counts); the whole
        configuration, read as data; runs without a row yet
    Leaves: text and lists, which are counted by name; the second copy of the scalars, the text log and what TensorBoard or
        W&B backends wrote into ``vis_data/``
    """

    name = "mmengine"
    version = 1

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims a folder with ``vis_data/`` that has rows with a step, or only a configuration."""
        home = folder.folders.get(_HOME)
        if home is None:
            return
        scalars = _SCALARS in home.free(_SCALARS) and _are_rows(home)
        config = _CONFIG in home.files
        others = sorted(n for n in home.files if n not in (_SCALARS, _CONFIG))
        if not scalars and (not config or others or home.folders):
            return
        files = tuple(f"{_HOME}/{n}" for n, there in ((_SCALARS, scalars), (_CONFIG, config)) if there)
        yield Claim(files, tuple(_copies(folder, others)), owns=(_HOME,))

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads the configuration and the new rows."""
        problems: list[Problem] = []
        config = _config(source.file(_CONFIG), problems)
        run = source.relative
        record = RunRecord(
            run,
            name=str(config.get("experiment_name") or ""),
            group=run.rsplit("/", 1)[0] if "/" in run else "",
            hyperparameters=config,
        )
        scalars = source.file(_SCALARS)
        if scalars is None:
            return Reading((record,), PointBuffer().frame(), tuple(problems))
        return _rows(record, scalars, resume, problems)


def _rows(record: RunRecord, scalars: FileStat, resume: Resume | None, problems: list[Problem]) -> Reading:
    begin = resume.offset if resume else 0
    lines = JsonLines(line_pieces(scalars.path, begin), scalars.path, first_line=resume.lines + 1 if resume else 1)
    points = PointBuffer()
    state = cast("dict[str, Any]", dict(resume.state)) if resume else {}
    non_scalar: dict[str, int] = dict(state.get("non_scalar", {}))
    step = int(state.get("step", -1))
    for line in lines:
        found = as_step(line.value.get("step"))
        step = step + 1 if found is None else found
        for name, value in line.value.items():
            if name != "step":
                points.add_nested(non_scalar, (record.id, name, step), value)
    after = Resume(begin + lines.consumed, {"non_scalar": non_scalar, "step": step}, lines.number)

    runs = (replace(record, non_scalar=non_scalar),)
    return Reading(runs, points.frame(), (*lines.problems, *problems), after)


def _config(entry: FileStat | None, problems: list[Problem]) -> dict[str, Any]:
    if entry is None:
        return {}
    try:
        return read_python_config(read_config_text(entry.path))
    except OSError as error:
        problems.append(Problem(entry.path, f"cannot be read: {error.strerror or error}"))
    except FormatError as error:
        problems.append(Problem(entry.path, str(error)))
    return {}


def _are_rows(home: Folder) -> bool:
    """Whether the scalars look like mmengine's; an empty file does if there is a configuration."""
    rows = peek(home.head(_SCALARS))
    return any(as_step(r.get("step")) is not None for r in rows) or (not rows and _CONFIG in home.files)


def _copies(folder: Folder, others: list[str]) -> Iterator[str]:
    """Yields copies of the data: other files of ``vis_data/``, the text log, the configuration in the work folder."""
    yield from (f"{_HOME}/{n}" for n in others)
    log, config = f"{folder.name}.log", f"../{folder.name}.py"
    yield from (n for n in (log, config) if folder.find(n))
