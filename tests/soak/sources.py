"""Odd files, names and sidecars of every format: whatever lies in a folder, the healthy runs are told as without it."""

from __future__ import annotations

import random
import sys
import tempfile
import traceback
from collections.abc import Generator, Sequence
from pathlib import Path

from tests.soak.support import Finding

sys.path.append(str(Path(__file__).parents[1]))
from support.odd_files import Beside, Files, odd, seeds

_SOURCES = 200_000
_TOGETHER = 200
_TWICE_EVERY = 10  # batches, of which one goes through a store


def odd_sources_harm_nobody(_: Path, share: float) -> Generator[Finding]:
    """200,000 odd sources of every format: no exception, and healthy runs are told exactly as without them."""
    count, broken = int(_SOURCES * share), list[str]()
    with tempfile.TemporaryDirectory() as folder:
        real, beside = seeds(Path(folder) / "seeds"), Beside(Path(folder) / "beside")
        for start in range(0, count, _TOGETHER):
            batch = [odd(real[n % len(real)], random.Random(n)) for n in range(start, start + _TOGETHER)]
            wrong = _wrong(beside, batch, twice=start // _TOGETHER % _TWICE_EVERY == 0)
            broken += [f"{start} to {start + _TOGETHER}: {wrong}"] if wrong else []
    told = f"; {broken[0]}" if broken else ""
    yield Finding(not broken, f"{count} odd sources of {len(real)} real ones, {len(broken)} batches went wrong{told}")


def _wrong(beside: Beside, batch: Sequence[Files], *, twice: bool) -> str:
    try:
        return beside.differs(batch, twice=twice)
    except Exception as error:  # noqa: BLE001 - whatever leaves is what is looked for
        traceback.print_exc()
        return f"{type(error).__name__}: {error}"
