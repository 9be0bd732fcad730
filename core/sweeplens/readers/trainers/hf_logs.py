"""Whether a log beside a Trainer's checkpoint goes further than the checkpoint, so that it is the fuller source."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sweeplens.readers.protocol import Folder
from sweeplens.readers.text.recognition import parsed_log

__all__ = ["log_beyond"]

_STEPS = re.compile(rb'"current_steps"\s*:\s*(\d+)|"global_step/max_steps"\s*:\s*"(\d+)/')
_EPOCH = re.compile(rb'"epoch"\s*:\s*(\d+(?:\.\d+)?)')
_NUMBER = re.compile(r"checkpoint-(\d+)/")
_TEXTS = (".log", ".out", ".txt")
_MOST = 8  # texts that are looked at
_AS_PRINTED = 0.005  # the last digit of an epoch


def log_beyond(folder: Folder, state: str, logs: Sequence[str], *, has_events: bool) -> str:
    """The log of a folder that goes on after a checkpoint's state was saved; "" where there is none.

    ``logs``: those in JSON lines, which name the step. What was printed names the epoch; it is not needed where TensorBoard files
    hold the same at their steps.
    """
    saved = _NUMBER.match(state)
    for name in logs:
        steps = [int(a or b) for a, b in _STEPS.findall(folder.sample(name))]
        if steps and saved and max(steps) > int(saved[1]):
            return name
    epoch = _EPOCH.search(folder.head(state).partition(b'"log_history"')[0])
    texts = folder.free(*_TEXTS)[:_MOST] if epoch and not logs and not has_events else ()
    return next((n for n in texts if _last_epoch(folder, n) > float(epoch[1]) + _AS_PRINTED), "") if epoch else ""


def _last_epoch(folder: Folder, name: str) -> float:
    """The last epoch that a text prints as a number of its rows; -1 where it prints none."""
    sample = folder.sample(name)
    parsed = parsed_log(name, sample) if b"epoch" in sample else None
    reached = parsed.points.filter(metric="epoch")["value"].max() if parsed else None
    return reached if isinstance(reached, float) else -1.0
