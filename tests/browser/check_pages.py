"""The report, and `/ui` of a server while a run grows: drawn without errors, without other machines, clean to axe."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from browser.conftest import OpenPage
from sweeplens import AnalysisConfig, ExperimentDB

TOKEN = "a-token-for-the-browser-01"
PAGES = ("/ui", "/ui/runs", "/ui/run?id=lr0.3_bs64_s0", "/ui/compare?run=lr0.3_bs64_s0&run=lr0.1_bs64_s0")


@pytest.fixture
def sweep(demo: Path, tmp_path: Path) -> Path:
    """A copy of the sweep that may grow."""
    return Path(shutil.copytree(demo, tmp_path / "sweep"))


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    file = tmp_path / "tokens"
    file.write_text(f"browser {TOKEN}\n", encoding="utf-8")
    return file


@pytest.fixture
def address(sweep: Path) -> Iterator[str]:
    with running(sweep) as url:
        yield url


class running:  # noqa: N801  # a context manager that reads as a verb
    """`sweeplens serve --http` over a folder, as a person starts it."""

    def __init__(self, root: Path, *options: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.command = [sys.executable, "-m", "sweeplens_mcp", "serve", "--http", "--port", str(self.port), *options]
        self.command += ["--root", str(root)]

    def __enter__(self) -> str:
        self.process = subprocess.Popen(self.command, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return f"http://127.0.0.1:{self.port}"
            time.sleep(0.1)
        raise AssertionError("the server did not begin to listen")

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(20)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_report_is_drawn_from_its_file_and_is_clean(
    open_page: OpenPage, demo: Path, tmp_path: Path, scheme: str
) -> None:
    made = ExperimentDB(AnalysisConfig(cache="memory"), base_path=demo).report(tmp_path / "report.html")
    watched = open_page(scheme)
    watched.page.goto(made.as_uri())
    watched.page.locator("figure svg.marks").nth(3).wait_for()
    watched.page.locator(".series button").first.click()
    watched.page.get_by_role("button", name="run_id").last.click()
    assert watched.page.locator("th[aria-sort=ascending]").count() == 1
    watched.check()
    assert watched.axe() == []


def test_every_page_of_a_server_is_drawn_and_clean(open_page: OpenPage, address: str) -> None:
    watched = open_page("dark")
    for path in PAGES:
        watched.page.goto(f"{address}{path}")
        if path != "/ui/runs":
            watched.page.locator("figure svg.marks").first.wait_for()
        assert watched.axe() == [], path
    watched.check()


def test_a_page_follows_a_run_that_grows(open_page: OpenPage, address: str, sweep: Path) -> None:
    watched = open_page()
    watched.page.goto(f"{address}/ui/runs?where=run_id='lr0.3_bs64_s0'")
    assert watched.page.get_by_role("cell", name="0.987").count() == 0
    watched.page.locator("input[name=run]").first.check()
    with (sweep / "lr0.3_bs64_s0" / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"step": 5000, "val/acc": 0.987}) + "\n")
    watched.page.get_by_role("cell", name="0.987").wait_for()
    assert "Data changed" in watched.page.locator("#state").inner_text()
    assert watched.page.locator("input[name=run]").first.is_checked()
    watched.check()


def test_two_runs_are_ticked_and_compared(open_page: OpenPage, address: str) -> None:
    watched = open_page()
    watched.page.goto(f"{address}/ui/runs?sort=run_id")
    compare = watched.page.locator("#compare")
    assert compare.is_disabled()
    for box in watched.page.locator("input[name=run]").all()[:2]:
        box.check()
    compare.click()
    watched.page.get_by_role("heading", name="against").wait_for()
    watched.page.locator("figure svg.marks").first.wait_for()
    watched.check()


def test_a_click_on_a_run_leads_to_its_page(open_page: OpenPage, address: str) -> None:
    watched = open_page()
    watched.page.goto(f"{address}/ui")
    watched.page.locator("#broke figure svg.marks .mark-rect path").first.click(force=True)
    watched.page.get_by_role("heading", name="Run lr").wait_for()


def test_without_scripts_everything_is_there_as_tables(open_page: OpenPage, address: str) -> None:
    watched = open_page(java_script_enabled=False)
    watched.page.goto(f"{address}/ui/runs")
    watched.page.get_by_role("link", name="val/acc.last").click()
    values = [float(text) for text in watched.page.locator("tbody tr td:nth-child(10)").all_inner_texts()]
    assert values == sorted(values)
    for box in watched.page.locator("input[name=run]").all()[:2]:
        box.check()
    watched.page.locator("#compare").click()
    assert watched.page.locator("table").count() >= 2
    watched.check()


def test_a_token_is_typed_once_and_never_stands_in_an_address(open_page: OpenPage, sweep: Path, tokens: Path) -> None:
    with running(sweep, "--token-file", str(tokens)) as url:
        watched = open_page()
        watched.page.goto(f"{url}/ui")
        assert watched.page.url == f"{url}/ui/login"
        assert watched.axe() == []
        watched.page.get_by_label("Token").fill("not-the-token-of-anybody")
        watched.page.get_by_role("button", name="Log in").click()
        watched.page.get_by_role("alert").wait_for()
        watched.errors.clear()  # the browser reports the refusal
        watched.page.get_by_label("Token").fill(TOKEN)
        watched.page.get_by_role("button", name="Log in").click()
        watched.page.locator("#overview").wait_for()
        assert watched.page.url == f"{url}/ui"
        assert TOKEN not in watched.page.evaluate("document.cookie")
        watched.page.get_by_role("button", name="Log out").click()
        watched.page.wait_for_url(f"{url}/ui/login")
        watched.page.goto(f"{url}/ui/runs")
        assert watched.page.url == f"{url}/ui/login"
        watched.check()
