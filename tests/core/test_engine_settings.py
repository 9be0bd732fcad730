"""The setting ``engine``: what it takes, what it never shows, and what happens while a cluster does not answer."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.engines import spark_session
from sweeplens.engines.address import parse_address, shown_address
from sweeplens.errors import ConfigError

SECRET = "s3cret-token"


@pytest.mark.parametrize("engine", ["", "polars", "sc://host", "sc://host:15002", "sc://[::1]:15002/;use_ssl=true"])
def test_an_engine_is_this_machine_or_an_address_of_spark_connect(engine: str) -> None:
    assert AnalysisConfig(engine=engine).engine == engine


@pytest.mark.parametrize(
    ("engine", "why"),
    [
        ("spark://host:7077", "the scheme 'spark' is not known"),
        ("local[2]", "neither 'polars' nor an address"),
        ("duckdb", "neither 'polars' nor an address"),
        ("sc://", "no host was found"),
        ("sc://host:port", "the port 'port' is not a number"),
        ("sc://host:99999", "the port '99999' is not a number"),
        ("sc://host:15002/token=abc", "what follows the port"),
        ("sc://host:15002;token=abc", "what follows the port"),
        ("SC://host", "the scheme 'SC' is not known"),
    ],
)
def test_another_engine_is_an_error_that_shows_the_form_of_an_address(engine: str, why: str) -> None:
    with pytest.raises(ConfigError, match="sc://host:15002") as error:
        AnalysisConfig(engine=engine)
    assert why in str(error.value)
    assert "ANALYSIS_ENGINE" in str(error.value)


@pytest.mark.parametrize(
    "engine", [f"sc://host:0/;token={SECRET}", f"sc://host/token={SECRET}", f"ssc://u:{SECRET}@host"]
)
def test_no_error_shows_a_token(engine: str) -> None:
    with pytest.raises(ConfigError) as error:
        AnalysisConfig(engine=engine)
    assert SECRET not in str(error.value)


def test_neither_the_configuration_nor_an_address_shows_its_token() -> None:
    url = f"sc://host:443/;use_ssl=true;token={SECRET}"
    assert SECRET not in repr(AnalysisConfig(engine=url))
    assert shown_address(url) == parse_address(url).shown == "sc://host:443"


def test_the_variable_sets_the_engine_and_a_file_in_the_working_directory_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sweeplens.toml").write_text('engine = "sc://elsewhere"\n')
    assert AnalysisConfig().engine == ""
    monkeypatch.setenv("ANALYSIS_ENGINE", "sc://host:15002")
    assert AnalysisConfig().engine == "sc://host:15002"


def test_a_cluster_without_a_store_is_an_error_that_says_where_a_store_can_be(sweep: Path) -> None:
    with pytest.raises(ConfigError, match=r"cache='memory' keeps no store.*ANALYSIS_CACHE_DIR.*s3://"):
        ExperimentDB(AnalysisConfig(cache="memory", engine="sc://127.0.0.1:1"), sweep)


@pytest.fixture(params=["refused", "silent"])
def dead(request: pytest.FixtureRequest) -> Iterator[str]:
    """An address at which nobody listens, or at which connections are accepted and never answered."""
    pytest.importorskip("pyspark")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        if request.param == "refused":
            listening.close()
        yield f"sc://127.0.0.1:{port}"


def test_a_cluster_that_does_not_answer_costs_a_few_seconds_once_and_a_warning(
    dead: str, sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert spark_session.ANSWER_SECONDS < 10
    monkeypatch.setattr(spark_session, "ANSWER_SECONDS", 2.0)  # so that this test is short
    here = ExperimentDB(AnalysisConfig(cache_dir=str(tmp_path)), sweep)
    there = ExperimentDB(AnalysisConfig(cache_dir=str(tmp_path), engine=dead), sweep)
    there.load_experiments()
    began = time.monotonic()
    answer = there.rank("val/acc", reduce="auc")
    assert time.monotonic() - began < 8
    assert answer.table.equals(here.rank("val/acc", reduce="auc").table)
    (warning,) = [w for w in answer.basis.warnings if "this machine scanned the points itself" in w]
    assert dead in warning
    began = time.monotonic()
    there.rank("val/acc", reduce="last_k:3")
    assert time.monotonic() - began < 2
