"""The documented walk costs at most half of what an assistant that writes its own Polars needs, in calls and in characters."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from support.scripts import printed_by

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def printed() -> str:
    return printed_by([sys.executable, ROOT / "benchmarks" / "economy.py"])


@pytest.mark.skipif(sys.platform == "win32", reason="the rival looks at the folder with a POSIX shell")
@pytest.mark.parametrize("what", ["calls", "characters"])
def test_the_walk_takes_half_of_the_rivals_calls_and_characters(printed: str, what: str) -> None:
    (row,) = re.findall(rf"^\| {what} \| ([\d,]+) \| ([\d,]+) \|", printed, re.M)
    rival, ours = (int(number.replace(",", "")) for number in row)
    assert 2 * ours <= rival
    assert "**no**" not in printed
