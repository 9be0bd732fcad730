"""Finds the status of a text log's last run in its last lines, and the line that says why it ended badly."""

from __future__ import annotations

import re
from typing import NamedTuple

from sweeplens.readers.decoding import compression
from sweeplens.readers.text.lines import cleaned

__all__ = ["LogEnd", "end_of", "log_end"]

_LINES = 25
_TAIL_BYTES = 1 << 14
_WORDS = 200  # characters of the line that says why a run ended
_KILLED = re.compile(
    r"(?i)slurm(?:stepd|d)\S*: error.*(?:CANCELLED|TIME LIMIT)|^KeyboardInterrupt|^(?:Terminated|Killed)$|oom[-_ ]kill event"
    r"|\*\*\* (?:JOB|STEP)\b.*(?:CANCELLED|PREEMPT)|\bCANCELLED AT \S+ DUE TO\b|PBS: job killed|TERM_(?:RUN|MEM)LIMIT"
    r"|received signal (?:2|9|15)\b|Job has timed out\b"
    r"|\"run_stop\".*\"status\": ?\"aborted\""
)
_PREFIX = re.compile(
    r"^(?:\[?rank\d+\]?:|\[?[\d\-/ :,.T]{10,}\]?)\s*(?:[-|:]?\s*\[?(?:INFO|ERROR|CRITICAL)\]?\s*[-|:]?\s*)?"
)
_EXCEPTION = re.compile(r"^(?:\S+: )?(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception)\b(?::|$)")
_FAILED = re.compile(
    rf"{_EXCEPTION.pattern}|^Segmentation fault"
    r"|^srun: error:.*(?:Exited with exit code [1-9]|failed)"
    r"|^torch\.distributed\.elastic\.multiprocessing\.errors\.ChildFailedError"
)
_FAILED_JOB = re.compile(r"Submitted job triggered an exception|^Exited with exit code [1-9]")
_FINISHED = re.compile(
    r"(?i)\b(?:training|fitting|optimi[sz]ation|run|job|all epochs?|experiment|finetuning|fine-tuning)\b[\w ]{0,24}"
    r"\b(?:completed?|finished|done|ended|over)\b"
    r"|\b(?:finished|completed|done with|end of) (?:the )?(?:training|fitting|finetuning|fine-tuning|job)\b"
    r"|\btrain(?:ing)? (?:end|complete)\b|^optimization done|^Done\.?!?$|`?Trainer\.fit`? stopped: `?max_|'train_runtime'"
    r"|Total training time|training time\b.{0,12}\d+:\d\d"
    r"|\"run_stop\".*\"status\": ?\"success\""
)
_PRUNED = re.compile(r"(?i)\btrial (?:number )?#?(\d+) (?:was |is |has been )?pruned\b|\bTrialPruned\b")
_NOT_AN_END = re.compile(r"(?i)\bepoch\b.*\b(?:done|finished|completed?)\b|not (?:finished|complete)|\bif\b|will be")


class LogEnd(NamedTuple):
    """How a log ends: ``finished``, ``failed``, ``killed`` or ``pruned``, "" where it does not say it; and its words for a
    bad end."""

    status: str = ""
    words: str = ""


def log_end(text: str) -> LogEnd:
    """Returns what the last lines of a text say of the end of its run."""
    whole = [line.strip() for line in text.split("\n") if line.strip()][-_LINES:]
    lines = [_PREFIX.sub("", line) for line in whole]
    has_error = any("Traceback" in line or "error" in line.lower() for line in whole)
    for line in reversed(lines):
        if _KILLED.search(line):
            return LogEnd("killed", line[:_WORDS])
        if _FAILED_JOB.search(line) or (has_error and _FAILED.match(line)):
            return LogEnd("failed", next((o for o in reversed(lines) if _EXCEPTION.match(o)), line)[:_WORDS])
        if _PRUNED.search(line) and len({m[1] for m in _PRUNED.finditer(text)}) == 1:
            return LogEnd("pruned")
        if _FINISHED.search(line) and not _NOT_AN_END.search(line):
            return LogEnd("finished")
    return LogEnd()


def end_of(path: str) -> str:
    """The last lines of a file."""
    with compression.reading(path) as stream:
        if compression.is_compressed(path):
            tail = b""
            while data := stream.read(1 << 20):
                tail = (tail + data)[-_TAIL_BYTES:]
            return cleaned(tail).decode()
        stream.seek(0, 2)
        stream.seek(max(0, stream.tell() - _TAIL_BYTES))
        return cleaned(stream.read()).decode()
