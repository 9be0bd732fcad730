"""Processes that are killed while they read: the next start has every complete line once."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Generator
from pathlib import Path

from tests.soak.support import Finding

sys.path.append(str(Path(__file__).parents[1]))
from support.killing import kill_at_random_moments

_KILLS = 200


def killed_readers_lose_nothing(_root: Path, share: float) -> Generator[Finding]:
    """kill -9 at 200 random moments of reading and writing the store."""
    wrong = 0
    times = max(1, int(_KILLS * share))
    with tempfile.TemporaryDirectory() as home:
        for logged, found in kill_at_random_moments(Path(home), times, seed=1):
            wrong += logged != found
    yield Finding(wrong == 0, f"{times} kills, {wrong} of the next starts without every complete line exactly once")
