"""What a fresh process costs: wall time, processor time of all its threads, and its highest memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Cost", "run_python"]


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds, seconds and MB; and what the process printed."""

    wall: float
    cpu: float
    peak: float
    output: str


def run_python(code: str, *arguments: object, python: str = sys.executable, env: dict[str, str] | None = None) -> Cost:
    """Run a piece of Python in a process of its own, start and imports included. Raises where it fails."""
    command: Sequence[str] = [python, "-c", code, *map(str, arguments)]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **(env or {})})
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    if process.returncode:
        raise SystemExit(f"A child process ended with {process.returncode}: {output}")
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / unit, output)
