"""The tool `plot` over a client in both eras, and `sweeplens plot` and `sweeplens report` as typed."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path

import anyio
import pytest
from mcp import Client
from mcp.types import CallToolResult, ImageContent, TextContent

from sweeplens_mcp.cli.commands import main
from sweeplens_mcp.execution.processes.pool import ProcessPool
from sweeplens_mcp.protocol.app import build_server
from sweeplens_mcp.render.pictures import MOST_IMAGE_BYTES
from sweeplens_mcp.settings import Settings

pytestmark = pytest.mark.anyio


def parts_of(result: CallToolResult) -> tuple[bytes, str]:
    """The picture and the words of a result."""
    image, text = result.content
    assert isinstance(image, ImageContent)
    assert isinstance(text, TextContent)
    assert image.mime_type == "image/png"
    return base64.b64decode(image.data), text.text


async def test_plot_alone_gives_a_picture_with_its_finding_and_no_structured_content(client: Client) -> None:
    result = await client.call_tool("plot", {})
    image, words = parts_of(result)
    assert not result.is_error
    assert result.structured_content is None
    assert image.startswith(b"\x89PNG")
    assert len(image) <= MOST_IMAGE_BYTES
    assert len(words.encode()) <= 8_000
    assert "val/acc" in words
    assert "Basis: " in words
    assert "Python: db.plot(" in words


async def test_a_plot_with_an_unknown_name_is_an_error_with_the_nearest(client: Client) -> None:
    for arguments, said in (
        ({"kind": "rankings"}, "Nearest: 'ranking'"),
        ({"metrics": ["val_acc"]}, "Nearest: 'val/acc'"),
        ({"smooth": 2}, "not a weight"),
        ({"colour": "red"}, "No argument 'colour'"),
    ):
        result = await client.call_tool("plot", arguments)
        (block,) = result.content
        assert result.is_error
        assert isinstance(block, TextContent)
        assert said in block.text


async def test_without_the_renderer_the_words_stay_and_say_how_to_get_it(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    result = await client.call_tool("plot", {"kind": "ranking", "metrics": ["val/acc"]})
    (block,) = result.content
    assert isinstance(block, TextContent)
    assert not result.is_error
    assert "Best by val/acc" in block.text
    assert "pip install 'sweeplens[charts]'" in block.text


async def test_a_worker_process_draws_the_same(sweep: Path, era: str) -> None:
    drawn: list[tuple[bytes, str]] = []
    for workers in (ProcessPool(), None):
        async with Client(build_server(Settings((str(sweep),)), workers=workers), mode=era) as client:
            drawn.append(parts_of(await client.call_tool("plot", {"kind": "ranking", "metrics": ["val/acc"]})))
    assert drawn[0] == drawn[1]


async def test_other_calls_are_answered_while_a_picture_is_drawn(client: Client) -> None:
    await client.call_tool("overview", {})
    waits: list[float] = []

    async def draw() -> None:
        await client.call_tool("plot", {"kind": "curves", "metrics": ["train/loss"]})
        group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(draw)
        while True:
            began = anyio.current_time()
            await client.call_tool("list_metrics", {})
            waits.append(anyio.current_time() - began)
            await anyio.sleep(0.01)
    assert len(waits) >= 3


def test_the_shell_writes_pictures_and_a_report(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = ["--root", str(sweep)]
    assert main(["plot", "curves", "metric=val/acc", "-o", str(tmp_path / "c.png"), "--theme", "dark", *root]) == 0
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    assert main(["plot", "metrics=val/acc", "-o", str(tmp_path / "c.json"), "--size", "400x300", *root]) == 0
    spec = json.loads((tmp_path / "c.json").read_text(encoding="utf-8"))
    assert (spec["width"], spec["height"]) == (400, 300)
    assert main(["report", "-o", str(tmp_path / "r.html"), *root]) == 0
    said = capsys.readouterr().out
    assert f"Wrote {tmp_path / 'r.html'}" in said
    assert "Content-Security-Policy" in (tmp_path / "r.html").read_text(encoding="utf-8")
    assert main(["plot", "ranking", "metric=val/acc", "--inline", "kitty", *root]) == 0
    assert capsys.readouterr().out.startswith("\x1b_Ga=T,f=100,m=")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["plot", "ranking"], "No output: pass -o FILE"),
        (["plot", "rank", "-o", "x.png"], "Nearest: 'ranking'"),
        (["plot", "ranking", "-o", "x.gif"], "Use .png"),
        (["plot", "ranking", "mtric=a", "-o", "x.png"], "Nearest: 'metrics'"),
        (["plot", "ranking", "-o", "x.png", "--theme", "drak"], "Nearest: 'dark'"),
        (["plot", "ranking", "-o", "x.png", "--size", "big"], "WIDTHxHEIGHT"),
        (["plot", "ranking", "-o", "/nowhere/at/all/x.json"], "make it first (mkdir -p /nowhere/at/all)"),
        (["report", "-o", "/nowhere/at/all/x.html"], "make it first (mkdir -p /nowhere/at/all)"),
        (["call", "plot", "--json"], "no structured content"),
    ],
)
def test_wrong_arguments_are_an_error_of_one_sentence(
    sweep: Path,
    typed: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*typed, "--root", str(sweep)]) == 2
    assert said in capsys.readouterr().err
