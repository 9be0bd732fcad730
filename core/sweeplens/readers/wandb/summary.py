"""Reads W&B run directories without their record file, as in repositories that ignore it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import cast

from sweeplens.readers.decoding.values import PointBuffer, as_number, as_step, as_time
from sweeplens.readers.protocol import Claim, Folder, Problem, Reading, Resume, RunRecord, Source
from sweeplens.readers.trackers.record_folders import loaded_beside, unwrapped
from sweeplens.readers.wandb.description import since_1970
from sweeplens.readers.wandb.run_file import about_machine

__all__ = ["WandbSummary"]

_LAST, _CONFIG, _ABOUT = "files/wandb-summary.json", "files/config.yaml", "files/wandb-metadata.json"
_LATEST = "latest-run"  # a copy of the newest run beside it
_DIRECTORY = re.compile(r"(?:offline-)?run-(\d{8}_\d{6})-(\w+)")


class WandbSummary:
    """Run directories in which only the last values are left.

    Producer: Weights & Biases, where ``run-<id>.wandb`` is missing
    Files: ``run-<time>-<id>/files/wandb-summary.json``, and beside it ``config.yaml`` and ``wandb-metadata.json``
    Reads: the last value of every number, at the summary's ``_step``; config; program, commit, machine; the start, from the directory's name
    Leaves: histograms, tables and media, which are counted by name; the run's status, which these files do not hold
    """  # noqa: E501 - a line of docs/formats.md each

    name = "wandb_summary"
    version = 1

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims directories with a run's name and a summary, but no record file."""
        if _is_bare(folder):
            yield Claim((_LAST, *(s for s in (_CONFIG, _ABOUT) if folder.find(s))), owns=("files", "logs"))
            return
        runs = [n for n, child in sorted(folder.folders.items()) if _is_bare(child)]
        twin = folder.folders.get(_LATEST)
        copied = twin is not None and twin.find(_LAST) is not None and not _has_record(twin)
        for name in runs:
            beside = (f"{name}/{s}" for s in (_CONFIG, _ABOUT) if folder.find(f"{name}/{s}"))
            latest = copied and name == runs[-1]
            copies, owns = ((f"{_LATEST}/{_LAST}",), (name, _LATEST)) if latest else ((), (name,))
            yield Claim((f"{name}/{_LAST}", *beside), copies=copies, owns=owns, is_folder=False)

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads the summary and the files beside it, always whole."""
        main = source.files[0]
        directory = PurePosixPath(main.path.replace("\\", "/")).parent.parent.name
        problems = [Problem(main.path, "the record file is missing: only the last values are known", kind="warning")]
        last = loaded_beside(source, _LAST, problems)
        points, counted = PointBuffer(), dict[str, int]()
        step = as_step(last.get("_step"))
        wall = as_time(last.get("_timestamp"))
        for name, number in _numbers({k: v for k, v in last.items() if not k.startswith("_")}, "", counted):
            points.add(directory, name, step or 0, number, wall)
        named = _DIRECTORY.fullmatch(directory)
        about: dict[str, object] = {"wandb_run_id": named[2]} if named else {}
        record = RunRecord(
            directory,
            created_at=as_time(since_1970(named[1])) if named else None,
            updated_at=wall,
            hyperparameters=unwrapped(loaded_beside(source, _CONFIG, problems)),
            metadata={**about_machine(loaded_beside(source, _ABOUT, problems)), **about},
            non_scalar=counted,
        )
        return Reading((record,), points.frame(), tuple(problems))


def _is_bare(folder: Folder) -> bool:
    return bool(_DIRECTORY.fullmatch(folder.name)) and folder.find(_LAST) is not None and not _has_record(folder)


def _has_record(folder: Folder) -> bool:
    return any(n.endswith(".wandb") for n in folder.files)


def _numbers(nested: Mapping[str, object], prefix: str, counted: dict[str, int]) -> Iterable[tuple[str, float]]:
    """Yields names and numbers, with nested names joined by dots; other values are counted."""
    for key, value in nested.items():
        number = as_number(value)
        if number is not None:
            yield prefix + key, number
        elif isinstance(value, dict) and "_type" not in value:
            yield from _numbers(cast("dict[str, object]", value), f"{prefix}{key}.", counted)
        else:
            counted[prefix + key] = counted.get(prefix + key, 0) + 1
