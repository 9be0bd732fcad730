"""Damaged logs of every format: no crash, no hang, no memory beyond reason.

A few small sources of every set of the corpus, one change at a time: flipped bits, cut tails, zeroed and repeated ranges,
numbers blown up. A reader gives what it can and names the rest; it may raise FormatError or OSError, and nothing else.
SWEEPLENS_FUZZ is the number of changes a set (40 unless it is set).
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import sys
import time
from pathlib import Path

import pytest

from sweeplens.errors import FormatError
from sweeplens.readers import READERS
from sweeplens.readers.protocol import Reading, Source
from sweeplens.sources.discover import discover

CORPUS = os.environ.get("SWEEPLENS_CORPUS", "")
SETS = sorted(p.parent.name for p in Path(CORPUS).glob("*/expected.json")) if CORPUS else []
CHANGES = int(os.environ.get("SWEEPLENS_FUZZ", "40"))
_SMALL = 300_000
_SECONDS = 10.0  # for one reading of a few small files, on a machine that is busy
_ROOM = 200 << 20  # bytes that a set may add to the process; the files of a set are below 1 MB
_BY_NAME = {r.name: r for r in READERS}


def smallest(folder: Path) -> list[Source]:
    """Up to three small sources of each reader; its smallest where none is small."""
    chosen: list[Source] = []
    sources = discover([folder], READERS).sources
    for reader in {s.reader for s in sources}:
        mine = sorted((s for s in sources if s.reader == reader), key=lambda s: sum(f.size for f in s.files))
        some = [s for s in mine if sum(f.size for f in s.files) > 200]
        chosen += [s for s in some if sum(f.size for f in s.files) < _SMALL][:3] or some[:1]
    return chosen


def copied(source: Source, root: Path, target: Path) -> list[Path]:
    """The files of a source at the same places below another root."""
    copies = [target / Path(f.path).relative_to(root) for f in source.files]
    for entry, copy in zip(source.files, copies, strict=True):
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(entry.path, copy)
    return copies


def changed(data: bytes, dice: random.Random) -> bytes:
    """The data with one kind of damage."""
    at = dice.randrange(len(data))
    some = bytearray(data)
    match dice.randrange(6):
        case 0:
            for _ in range(dice.choice((1, 1, 8))):
                some[dice.randrange(len(some))] ^= 1 << dice.randrange(8)
        case 1:
            del some[at:]
        case 2:
            some[at : at + dice.choice((1, 8, 500))] = bytes(dice.choice((1, 8, 500)))
        case 3:
            some[at : at + 8] = dice.choice((b"\xff" * 8, b"\x00\x00\x00\x00\xff\xff\xff\x7f", b"9" * 8))
        case 4:
            end = at + dice.randrange(1, 400)
            some[at:at] = some[at:end]
        case _:
            some[at : at + 1] = dice.choice((b"{", b'"', b",", b"\n", b"NaN", b"1e999", b"\xe2\x82", b"[" * 2000))
    return bytes(some)


def read_all(root: Path) -> list[Reading]:
    """Everything in a folder; what the readers may raise is a reading that is not there."""
    readings: list[Reading] = []
    for source in discover([root], READERS).sources:
        try:
            first = _BY_NAME[source.reader].read(source, None)
            readings.append(first)
            if first.resume is not None:
                readings.append(_BY_NAME[source.reader].read(source, first.resume))
        except (FormatError, OSError):
            continue
    return readings


def memory() -> int:
    """The most that the process has used, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@pytest.mark.skipif(not SETS, reason="SWEEPLENS_CORPUS names no folder of sets")
@pytest.mark.parametrize("name", SETS)
def test_a_damaged_log_neither_crashes_nor_hangs_nor_fills_the_memory(name: str, tmp_path: Path) -> None:
    dice = random.Random(name)
    root = Path(CORPUS) / name / "logs"
    files = [f for source in smallest(root) for f in copied(source, root.resolve(), tmp_path)]
    victims = [f for f in dict.fromkeys(files) if f.stat().st_size]
    assert victims
    assert read_all(tmp_path)
    before = memory()
    for turn in range(CHANGES):
        victim = dice.choice(victims)
        whole = victim.read_bytes()
        victim.write_bytes(changed(whole, dice))
        began = time.perf_counter()
        for reading in read_all(tmp_path):
            assert reading.points.width == 5, f"turn {turn}: {victim.name}"
        assert time.perf_counter() - began < _SECONDS, f"turn {turn}: {victim.name}"
        victim.write_bytes(whole)
    assert memory() - before < _ROOM
