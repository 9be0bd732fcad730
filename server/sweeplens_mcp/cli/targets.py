"""Where the command line may write: never over a file in a folder of experiments, which may be a log, nor over a program."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

from sweeplens.errors import InputError

__all__ = ["check_target"]

_NO_LOGS = (".html", ".png", ".svg", ".pdf")
_OUTPUTS = (*_NO_LOGS, ".htm", ".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".md", ".txt", ".out", ".log", "")


def check_target(file: Path, roots: Iterable[Path]) -> str:
    """Returns ``Wrote`` or, for a file that exists, ``Replaced``. Raises InputError for one that may be a log, or in no folder."""
    if not file.parent.is_dir():
        raise InputError(f"No folder {file.parent}: make it first (mkdir -p {shlex.quote(str(file.parent))}).")
    if not file.exists():
        return "Wrote"
    if file.suffix.lower() not in _OUTPUTS:
        raise InputError(
            f"{file} exists, and a *{file.suffix} is no output of sweeplens: name another file, or delete it first."
        )
    for root in roots:
        if file.suffix.lower() not in _NO_LOGS and file.resolve().is_relative_to(root.resolve()):
            raise InputError(
                f"{file} exists in the experiments folder {root}, so it may be a log, and nothing there is replaced: "
                "name another file."
            )
    return "Replaced"
