"""Run directories of trackers that write one binary record file each: W&B ``run-<id>.wandb``, SwanLab ``run-<id>.swanlab``.

The rule. A directory that holds such a file is a run, and everything below it is the tracker's own: no other reader is
offered its console output, requirements or media. ``latest-run`` is a copy where another directory beside it holds the same
run (a record file of the same name), or where it is a text that names one (a link, as git checks it out where there are no
links); it is the run itself where there is none.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sweeplens.readers.protocol import Claim

if TYPE_CHECKING:
    from sweeplens.discover import Folder

__all__ = ["tracker_claims"]

_LATEST = "latest-run"


def tracker_claims(folder: Folder, suffix: str, ident: bytes, sidecars: tuple[str, ...]) -> Iterator[Claim]:
    """Claims on a folder that is a run directory, or that holds run directories."""
    if own := _record_file(folder, suffix, ident):
        yield Claim((own, *(s for s in sidecars if folder.find(s))), owns=("*",))
        return
    runs = {n: f for n, child in sorted(folder.folders.items()) if (f := _record_file(child, suffix, ident))}
    twin = next((n for n in reversed(runs) if n != _LATEST and runs[n] == runs.get(_LATEST)), "")
    named = folder.head(_LATEST).decode("utf-8", "replace").strip() if _LATEST in folder.files else ""
    for name, file in runs.items():
        if twin and name == _LATEST:
            continue
        beside = tuple(f"{name}/{s}" for s in sidecars if folder.find(f"{name}/{s}"))
        copies = (f"{_LATEST}/{file}",) if name == twin else (_LATEST,) if name == named else ()
        owns = (name, _LATEST) if name == twin else (name,)
        yield Claim((f"{name}/{file}", *beside), copies=copies, owns=owns, is_folder=False)


def _record_file(folder: Folder, suffix: str, ident: bytes) -> str:
    """The free record file of a folder; one that is empty or cut off in its first bytes is one."""
    for name in sorted(folder.files):
        if name.endswith(suffix) and name not in folder.taken:
            head = folder.head(name)
            if head.startswith(ident) or ident.startswith(head):
                return name
    return ""
