"""Runs a command as a user does; returns its output, or fails the test with it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

__all__ = ["printed_by"]


def printed_by(command: Sequence[str | Path], **environment: str) -> str:
    """What the command prints; it must end well."""
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True, encoding="utf-8", env={**os.environ, **environment}, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout
