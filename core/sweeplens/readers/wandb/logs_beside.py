"""Logs that a program wrote into its W&B run directory, and the printed output that W&B keeps there.

logs_beside(folder, home)       the logs in the folder of W&B's files, the fullest first, and the printed output
with_log(record, log, end)      the record of a run with what they say and the files of W&B do not
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from sweeplens.frames.schemas import ENDED_WITH
from sweeplens.readers.fuller_logs import FullerLog, log_claims
from sweeplens.readers.protocol import Folder, RunRecord, Source
from sweeplens.readers.text.ending import LogEnd, end_of, log_end

__all__ = ["OF_WANDB", "console_end", "logs_beside", "with_log"]

_CONSOLE = "output.log"  # the printed output
OF_WANDB = frozenset({
    "wandb-history.jsonl", "wandb-summary.json", "config.yaml", "wandb-metadata.json", "wandb-events.jsonl", "requirements.txt",
    "conda-environment.yaml",
})  # fmt: skip
"""Files that W&B itself writes, which are no logs of the program."""
_NO_LOGS = frozenset({"media", "code", "artifact", "logs", "tmp"})  # folders of W&B's own


def logs_beside(folder: Folder, home: str) -> tuple[str, ...]:
    """Returns paths below a run's directory. ``home``: the folder of W&B's files in it, or "" for the directory itself."""
    child = folder.child(home) if home else folder
    if child is None:
        return ()
    below = [n for n in sorted(child.folders) if n not in _NO_LOGS]
    homes = dict.fromkeys((home, "", *(f"{home}/{n}".lstrip("/") for n in below)))
    found = [_below(at, name) for at in homes for name in _claimed(folder, at)]
    console = _below(home, _CONSOLE)
    return tuple(dict.fromkeys((*found, *([console] if folder.find(console) else []))))


def _claimed(folder: Folder, at: str) -> Iterator[str]:
    home = folder.child(at) if at else folder
    yield from (name for claim in (log_claims(home, OF_WANDB) if home else ()) for name in claim.files)


def _below(at: str, name: str) -> str:
    return f"{at}/{name}" if at else name


def with_log(record: RunRecord, log: FullerLog | None, end: LogEnd) -> RunRecord:
    """Adds what the log and the printed output say that the files of W&B do not."""
    told = log.reading.runs[0] if log else record
    ended = {ENDED_WITH: end.words} if end.words else {}
    return replace(
        record,
        name=record.name or (told.name if told.name not in ("", told.id) else ""),
        status=record.status or end.status or told.status,
        updated_at=max(filter(None, (record.updated_at, told.updated_at)), default=None),
        hyperparameters=record.hyperparameters or told.hyperparameters,
        metadata={**told.metadata, **record.metadata, **ended},
        non_scalar={**told.non_scalar, **record.non_scalar},
    )


def console_end(source: Source) -> LogEnd:
    """What the printed output says of the run's end."""
    console = source.file(_CONSOLE)
    return log_end(end_of(console.path)) if console else LogEnd()
