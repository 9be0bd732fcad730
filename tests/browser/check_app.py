"""The chart in a client with MCP Apps: in the extension's own host, in both themes, under strict policies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from support.serving import served

from browser.app_host import POLICIES, host_app
from browser.conftest import OpenPage
from browser.watched import WatchedPage

if TYPE_CHECKING:
    from playwright.sync_api import FrameLocator

CURVES = {"kind": "curves", "metrics": ["val/acc"], "hparams": ["optim.lr"]}


@pytest.fixture(params=list(POLICIES))
def host(request: pytest.FixtureRequest, demo: Path, packages: Path) -> Iterator[str]:
    with served(host_app(demo, POLICIES[request.param], packages), path="/host") as address:
        yield address


def shown(watched: WatchedPage, host: str, theme: str, asked: dict[str, object]) -> FrameLocator:
    """The App with a chart, once that is drawn."""
    watched.page.goto(f"{host}?theme={theme}&plot={quote(json.dumps(asked))}")
    app = watched.page.frame_locator("iframe")
    app.locator("#chart svg.marks").wait_for()
    return app


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_chart_is_drawn_in_the_colours_of_the_host(open_page: OpenPage, host: str, theme: str) -> None:
    watched = open_page("dark" if theme == "light" else "light")  # the host's theme counts, not the system's
    app = shown(watched, host, theme, CURVES)
    background = app.locator("body").evaluate("body => getComputedStyle(body).backgroundColor")
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(22, 25, 29)"}[theme]
    assert "val/acc" in app.locator("#caption").inner_text()
    watched.page.evaluate("theme => bridge.setHostContext({ theme })", "dark" if theme == "light" else "light")
    app.locator(f":root[data-theme={'dark' if theme == 'light' else 'light'}]").wait_for()
    watched.check()


def test_series_are_hidden_and_smoothing_and_axes_are_asked_for_again(open_page: OpenPage, host: str) -> None:
    watched = open_page()
    app = shown(watched, host, "light", CURVES)
    lines = app.locator("#chart svg.marks .mark-line path")
    before = lines.count()
    app.locator(".series button").first.click()
    app.locator(".series button[aria-pressed=false]").wait_for()
    watched.page.wait_for_function("() => true")
    assert lines.count() < before
    app.locator("#smooth").evaluate("box => { box.value = '0.8'; box.dispatchEvent(new Event('change')); }")
    app.get_by_text("Smoothed: moving average of weight 0.8").first.wait_for()
    app.locator("#log-y").check()
    watched.page.wait_for_function("() => calls.filter((call) => call.name === 'chart_data').length === 3")
    app.locator("#log-y:checked").wait_for()
    watched.check()


def test_a_run_that_is_clicked_is_asked_for_through_the_host(open_page: OpenPage, host: str) -> None:
    watched = open_page()
    app = shown(watched, host, "dark", {"kind": "scatter", "metrics": ["val/acc"]})
    app.locator("#chart svg.marks .mark-symbol.role-mark path").first.click(force=True)
    app.locator("#answer:not([hidden])").wait_for()
    calls = watched.page.evaluate("() => calls")
    assert calls[-1]["name"] == "get_run"
    assert calls[-1]["arguments"]["run_id"] == app.locator("#answer-title").inner_text()
    assert "hyperparameters" in app.locator("#answer pre").inner_text()
    watched.check()


def test_a_brush_on_an_axis_sets_the_other_lines_aside(open_page: OpenPage, host: str) -> None:
    watched = open_page()
    app = shown(watched, host, "light", {"kind": "parallel", "metrics": ["val/acc"]})
    rules = app.locator("#chart svg.marks .mark-rule line")
    box = rules.last.bounding_box()
    assert box is not None
    x = box["x"] + box["width"] / 2
    watched.page.mouse.move(x, box["y"] + 2)
    watched.page.mouse.down()
    watched.page.mouse.move(x, box["y"] + box["height"] * 0.2, steps=4)
    watched.page.mouse.up()
    app.locator(".brush").wait_for()
    lines = app.locator("#chart svg.marks .mark-line path")
    opacities = lines.evaluate_all("all => all.map((line) => line.getAttribute('opacity'))")
    assert {"0.04"} < set(opacities)
    watched.check()


def test_axe_finds_nothing_in_the_app(open_page: OpenPage, host: str, packages: Path) -> None:
    watched = open_page()
    shown(watched, host, "dark", CURVES)
    frame = next(frame for frame in watched.page.frames if frame.url.endswith("/app"))
    frame.evaluate((packages / "axe-core" / "axe.min.js").read_text(encoding="utf-8"))
    found = frame.evaluate(
        "async () => (await axe.run()).violations.map((v) => `${v.id}: ${v.nodes[0].html.slice(0, 200)}`)"
    )
    assert found == []
