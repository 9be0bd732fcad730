"""Thousands of odd sources of every format: no exception escapes, and healthy runs are read exactly as without them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.odd_files import Beside, Files, odd, seeds, write_files

from sweeplens.readers import READERS
from sweeplens.sources.discover import discover

_BATCH = 100  # sources that are looked at together


class Sources(list[Files]):
    """Sources that a failed test shows by their number: Hypothesis refuses to print megabytes of bytes."""

    def __repr__(self) -> str:
        return f"<{len(self)} sources>"


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> list[Files]:
    """Real sources."""
    return Sources(seeds(tmp_path_factory.mktemp("seeds")))


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Beside:
    """Healthy runs."""
    return Beside(tmp_path_factory.mktemp("beside"))


def test_every_format_is_made_odd(real: list[Files], tmp_path: Path) -> None:
    for number, files in enumerate(real):
        write_files(tmp_path / str(number), files)
    assert {source.reader for source in discover([tmp_path], READERS).sources} == {reader.name for reader in READERS}


@given(numbers=st.lists(st.integers(0, 2**32), min_size=_BATCH, max_size=_BATCH))
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
def test_odd_sources_are_problems_of_their_own(real: list[Files], beside: Beside, numbers: list[int]) -> None:
    batch = [odd(real[n % len(real)], random.Random(n)) for n in numbers]
    assert not beside.differs(batch)


@given(numbers=st.lists(st.integers(0, 2**32), min_size=_BATCH, max_size=_BATCH))
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_second_process_reads_the_same_data_of_odd_sources_from_the_store(
    real: list[Files], beside: Beside, numbers: list[int]
) -> None:
    batch = [odd(real[n % len(real)], random.Random(n)) for n in numbers]
    assert not beside.differs(batch, twice=True)
