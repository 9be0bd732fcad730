"""Detectors over a library of curve shapes with fixed seeds: healthy runs are left alone, faults of the named sizes are found."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
DRAWS = 12
LEAST = {"plateau from 40 %": 0.7}  # found in 95 ± 3 % of many draws, and of low severity


def _module(name: str, file: str) -> ModuleType:
    """A file of the benchmarks as a module of this name."""
    spec = spec_from_file_location(name, BENCHMARKS / file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


_module("support.curve_shapes", "support/curve_shapes.py")
bench = _module("detectors_benchmark", "detectors.py")


def test_the_library_has_sixty_shapes_and_more() -> None:
    assert len(bench.HEALTHY) + len(bench.SICK) >= 60


@pytest.mark.parametrize("name", bench.HEALTHY)
def test_healthy_runs_have_no_finding_of_high_or_medium_severity(name: str) -> None:
    found = bench.findings([bench.HEALTHY[name](bench.generator(name, i)) for i in range(DRAWS)])
    assert found.filter(found["severity"] != "low").to_dicts() == []


@pytest.mark.parametrize("name", bench.SICK)
def test_faults_of_the_named_sizes_are_found_where_they_begin(name: str) -> None:
    share, _, near = bench.detection(name, DRAWS)
    assert share >= LEAST.get(name, 1 - 1.5 / DRAWS)
    assert near >= 1 - 2.5 / DRAWS
