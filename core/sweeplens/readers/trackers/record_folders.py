"""Claims run directories of trackers with one binary record file: W&B ``run-<id>.wandb``, SwanLab ``run-<id>.swanlab``.

A directory with such a file is a run, and everything below it belongs to the tracker: no other reader sees its console output,
requirements or media. ``latest-run`` is a copy if another directory beside it holds the same run (a record file of the same name),
or if it is a text file that names one (a link that git checked out as text); otherwise it is a run. The tracker's log and settings
beside the directories belong to it too. Other directories with record files of the same name are one run that was resumed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, cast

from sweeplens.errors import FormatError
from sweeplens.readers.decoding.compression import read_config_bytes
from sweeplens.readers.decoding.settings_text import load_yaml
from sweeplens.readers.protocol import Claim, Folder, Problem, Source

__all__ = ["GRACE", "loaded_beside", "tracker_claims"]

GRACE = 600.0
"""Seconds without a new record after which a run without an end counts as crashed."""

_LATEST = "latest-run"
_OWN = re.compile(r"debug(-internal|-cli.*)?\.log|settings|wandb-resume\.json|\.gitignore")
_TIME = re.compile(r"\d{8}_\d{6}")


def tracker_claims(folder: Folder, suffix: str, ident: bytes, sidecars: tuple[str, ...]) -> Iterator[Claim]:
    """Claims a run directory, or the run directories in a folder."""
    if own := _record_file(folder, suffix, ident):
        yield Claim((own, *(s for s in sidecars if folder.find(s))), owns=("*",))
        return
    runs = {n: f for n, child in sorted(folder.folders.items()) if (f := _record_file(child, suffix, ident))}
    twin = next(
        (n for n in sorted(runs, key=_stamp, reverse=True) if n != _LATEST and runs[n] == runs.get(_LATEST)), ""
    )
    named = folder.head(_LATEST).decode("utf-8", "replace").strip() if _LATEST in folder.files else ""
    own = tuple(n for n in folder.files if runs and _OWN.fullmatch(n))
    for file, names in _of_each_run({n: f for n, f in runs.items() if not (twin and n == _LATEST)}).items():
        beside = tuple(f"{n}/{s}" for n in reversed(names) for s in sidecars if folder.find(f"{n}/{s}"))
        copies = (f"{_LATEST}/{file}",) if twin in names else (_LATEST,) if named in names else ()
        owns = (*names, _LATEST) if twin in names else tuple(names)
        records = (f"{n}/{file}" for n in names)
        yield Claim((*records, *beside), copies=copies, owns=owns, is_folder=False, belongs=own)


def _of_each_run(runs: dict[str, str]) -> dict[str, list[str]]:
    """Record file -> the directories that hold it, the oldest first: a run that was resumed has several."""
    found: dict[str, list[str]] = {}
    for name, file in sorted(runs.items(), key=lambda item: (_stamp(item[0]), item[0])):
        found.setdefault(file, []).append(name)
    return found


def _stamp(directory: str) -> str:
    found = _TIME.search(directory)
    return found[0] if found else ""


def loaded_beside(source: Source, name: str, problems: list[Problem]) -> dict[str, Any]:
    """Reads a file beside the records as plain data; {} where it is missing or cannot be read (a problem)."""
    entry = next((f for f in source.files if f.path.replace("\\", "/").endswith("/" + name)), None)
    if entry is None:
        return {}
    try:
        text = read_config_bytes(entry.path).decode("utf-8")
        found = load_yaml(text) if name.endswith(".yaml") else json.loads(text)
    except (OSError, ValueError, RecursionError, FormatError) as error:
        problems.append(Problem(entry.path, f"cannot be read: {str(error).split(chr(10))[0]}", kind="warning"))
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _record_file(folder: Folder, suffix: str, ident: bytes) -> str:
    """Returns the unclaimed record file of a folder, which may be empty or cut off in its header; "" where there is none."""
    for name in sorted(n for n in folder.files if n.endswith(suffix) and n not in folder.taken):
        head = folder.head(name)
        if head.startswith(ident) or ident.startswith(head):
            return name
    return ""
