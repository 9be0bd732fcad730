"""What every test may lean on: a small sweep written fresh, and a cache folder of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from support.buckets import Server
from support.sweep import write_sweep

# No test depends on how busy the machine is.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or writes the user's cache, and none sees the user's settings."""
    kept = {k: v for k, v in os.environ.items() if k.startswith("ANALYSIS_")}
    for name in kept:
        del os.environ[name]
    os.environ["ANALYSIS_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))
    yield
    del os.environ["ANALYSIS_CACHE_DIR"]
    os.environ.update(kept)


@pytest.fixture(scope="session")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight runs below a folder with a blank and an umlaut; see `write_sweep`."""
    return write_sweep(tmp_path_factory.mktemp("my Läufe"))


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An S3 server that stays up; a test that ends its server begins one of its own."""
    server = Server(tmp_path_factory.mktemp("s3"))
    server.begin()
    yield server
    server.end()


@pytest.fixture
def cache_url(s3: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where stores of this test lie on the S3 server, to which the environment leads."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    s3.asked()
    return f"s3://{s3.bucket}/{tmp_path.name}"
