"""A lab of two roots and two tokens, one of which may see one root only, and the application that serves it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from support.sweep import write_run
from sweeplens_mcp.http.options import HttpOptions
from sweeplens_mcp.http.serve import protected_app
from sweeplens_mcp.settings import Settings

__all__ = ["EVERYTHING", "PUBLIC", "asking", "lab", "options", "web"]

EVERYTHING, PUBLIC = "sees-everything-0001", "sees-public-only-01"
URL = "http://127.0.0.1:8917"


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """Two roots; run ids, hyperparameters and metrics of ``secret`` are found nowhere in ``public``."""
    for root in ("public", "secret"):
        for seed in (0, 1):
            rows = [{"step": float(i), f"{root}/acc": 0.5 + 0.01 * i} for i in range(12)]
            write_run(tmp_path / root / f"{root}_run{seed}", {f"{root}_lr": 0.1, "seed": seed}, rows)
    (tmp_path / "tokens").write_text(f"all {EVERYTHING}\npub {PUBLIC} '{tmp_path / 'public'}'\n", encoding="utf-8")
    return tmp_path


def options(lab: Path, **more: object) -> HttpOptions:
    return HttpOptions(token_file=str(lab / "tokens"), **more)  # type: ignore[arg-type]


@asynccontextmanager
async def web(
    lab: Path, token: str = "", served: tuple[str, ...] = ("public", "secret"), **more: object
) -> AsyncGenerator[httpx2.AsyncClient]:
    """The application that is served, without a socket."""
    app = protected_app(Settings(tuple(str(lab / name) for name in served)), options(lab, **more))
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=URL, headers=headers) as client,
    ):
        yield client


@asynccontextmanager
async def asking(
    lab: Path, token: str, era: str, served: tuple[str, ...] = ("public", "secret")
) -> AsyncGenerator[Client]:
    async with (
        web(lab, token, served) as http,
        Client(streamable_http_client(f"{URL}/mcp", http_client=http), mode=era) as client,
    ):
        yield client
