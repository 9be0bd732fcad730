"""Finds the status of a text log's last run in its last lines."""

from __future__ import annotations

import re

from sweeplens.readers.decoding import compression
from sweeplens.readers.text.lines import cleaned

__all__ = ["end_of", "status_at_end"]

_LINES = 25
_TAIL_BYTES = 1 << 14
_KILLED = re.compile(
    r"(?i)slurm(?:stepd|d)\S*: error.*(?:CANCELLED|TIME LIMIT)|^KeyboardInterrupt|^(?:Terminated|Killed)$|oom[-_ ]kill event"
    r"|\*\*\* (?:JOB|STEP)\b.*(?:CANCELLED|PREEMPT)|\bCANCELLED AT \S+ DUE TO\b|PBS: job killed|TERM_(?:RUN|MEM)LIMIT"
    r"|received signal (?:2|9|15)\b|Job has timed out\b"
)
_FAILED = re.compile(
    r"^(?:\S+: )?(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception)\b(?::|$)|^Segmentation fault"
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
)
_NOT_AN_END = re.compile(r"(?i)\bepoch\b.*\b(?:done|finished|completed?)\b|not (?:finished|complete)|\bif\b|will be")


def status_at_end(text: str) -> str:
    """Returns ``finished``, ``failed`` or ``killed``; "" where the last lines do not show it."""
    lines = [line.strip() for line in text.split("\n") if line.strip()][-_LINES:]
    for line in reversed(lines):
        bare = re.sub(
            r"^(?:\[?rank\d+\]?:|\[?[\d\-/ :,.T]{10,}\]?)\s*(?:[-|:]?\s*\[?(?:INFO|ERROR|CRITICAL)\]?\s*[-|:]?\s*)?",
            "",
            line,
        )
        if _KILLED.search(bare):
            return "killed"
        if _FAILED_JOB.search(bare):
            return "failed"
        if _FAILED.match(bare) and any("Traceback" in other or "error" in other.lower() for other in lines):
            return "failed"
        if _FINISHED.search(bare) and not _NOT_AN_END.search(bare):
            return "finished"
    return ""


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
