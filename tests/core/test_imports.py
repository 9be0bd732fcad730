"""Importing sweeplens takes no time and brings no server: measured in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

import sweeplens

HEAVY = ("mcp", "anyio", "starlette", "uvicorn", "polars", "pydantic", "scipy", "sklearn", "deltalake")


def loaded_by(code: str) -> set[str]:
    asked = f"import sys\n{code}\nprint(*(m for m in {HEAVY} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_library_loads_nothing_heavy() -> None:
    assert loaded_by("import sweeplens") == set()


def test_using_the_library_loads_no_protocol_no_http_no_async_and_no_statistics() -> None:
    loaded = loaded_by("from sweeplens import AnalysisConfig, ExperimentDB, Run")
    assert not loaded & {"mcp", "anyio", "starlette", "uvicorn", "scipy", "sklearn"}


def test_the_command_line_loads_nothing_heavy_before_it_parses_arguments() -> None:
    assert loaded_by("import sweeplens_mcp.cli.commands") == set()


@pytest.mark.parametrize("name", sweeplens.__all__)
def test_every_public_name_exists_and_is_documented(name: str) -> None:
    assert getattr(sweeplens, name).__doc__


def test_the_public_names_are_sorted_and_a_wrong_one_is_an_attribute_error() -> None:
    assert sorted(sweeplens.__all__) == sweeplens.__all__ == dir(sweeplens)
    with pytest.raises(AttributeError, match="no attribute 'ExperimentDb'"):
        _ = sweeplens.ExperimentDb  # pyright: ignore[reportAttributeAccessIssue]
