"""`/ui` of a server over HTTP: the pages, who may see them, what a browser is told, and events when data change."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import anyio
import httpx2
import pytest
from support.lab import EVERYTHING, PUBLIC, lab, web
from support.processes import serving
from support.sweep import write_run

from sweeplens import ExperimentDB
from sweeplens_mcp.http.options import HttpOptions
from sweeplens_mcp.http.serve import protected_app
from sweeplens_mcp.settings import Settings

__all__ = ["lab"]  # a fixture
pytestmark = pytest.mark.anyio
PAGES = ("/ui", "/ui/runs", "/ui/run?id=public_run0", "/ui/compare?run=public_run0&run=public_run1")
HOSTILE = "</script><img src=x onerror=alert(1)>"


@asynccontextmanager
async def opened(root: Path, **headers: str) -> AsyncGenerator[httpx2.AsyncClient]:
    """A server on loopback without tokens."""
    app = protected_app(Settings((str(root),)), HttpOptions())
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1:8917", headers=headers
        ) as client,
    ):
        yield client


class Links(HTMLParser):
    """What a page links to, loads or sends to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.found += [value or "" for name, value in attrs if name in ("href", "src", "action")]


async def test_without_tokens_every_page_on_loopback_is_open_and_has_its_tables(lab: Path) -> None:
    async with opened(lab / "public") as client:
        for path in PAGES:
            answer = await client.get(path)
            assert answer.status_code == 200, path
            assert "<table" in answer.text
            assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
            assert answer.headers["cache-control"] == "no-store"
            assert all(link.startswith(("/ui", "#", "data:,")) for link in Links(answer.text).found)
        assert "unsafe-eval" not in answer.headers["content-security-policy"]


async def test_the_report_has_the_sections_of_the_file_and_follows_a_condition_and_a_metric(lab: Path) -> None:
    async with opened(lab / "public") as client:
        whole = (await client.get("/ui")).text
        assert re.findall(r'<section id="(\w+)"', whole) == [
            "overview",
            "curves",
            "ranking",
            "effects",
            "broke",
            "runs",
        ]
        some = (await client.get("/ui", params={"where": "seed = 1", "metric": "public/acc"})).text
        assert "public_run1" in some
        assert "public_run0" not in some
        wrong = await client.get("/ui", params={"where": "sed = 1"})
    assert wrong.status_code == 400
    assert "Nearest: &#39;seed&#39;" in wrong.text


async def test_runs_are_sorted_and_filtered_by_addresses_alone(lab: Path) -> None:
    async with opened(lab / "public") as client:

        async def order(**query: str) -> list[str]:
            text = (await client.get("/ui/runs", params=query)).text
            return re.findall(r'name="run" value="(\w+)"', text)

        assert await order(sort="-seed") == ["public_run1", "public_run0"]
        assert await order(sort="seed") == ["public_run0", "public_run1"]
        assert await order(where="seed = 0") == ["public_run0"]
        text = (await client.get("/ui/runs", params={"sort": "seed"})).text
        assert 'aria-sort="ascending"><a href="/ui/runs?sort=-seed">seed' in text
        assert (await client.get("/ui/runs", params={"sort": "sede"})).status_code == 400


async def test_many_runs_stand_on_several_pages(tmp_path: Path) -> None:
    for i in range(230):
        write_run(tmp_path / f"r{i:03}", {"lr": i}, [{"step": 1.0, "acc": 0.5}])
    async with opened(tmp_path) as client:
        seen: list[str] = []
        address = "/ui/runs?sort=run_id"
        while address:
            text = (await client.get(address)).text
            seen += re.findall(r'name="run" value="(\w+)"', text)
            later = re.search(r'href="([^"]+)" rel="next"', text)
            address = later[1].replace("&amp;", "&") if later else ""
    assert seen == [f"r{i:03}" for i in range(230)]


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/ui/run?id=public_run", 404, "Nearest: &#39;public_run0&#39;"),
        ("/ui/run", 404, "no run"),
        ("/ui/compare?run=public_run0", 400, "Tick two runs"),
        ("/ui/compare?run=a&run=b&run=c", 400, "3 are ticked"),
        ("/ui/compare?run=public_run0&run=nope", 400, "nope"),
        ("/ui/assets/page.html", 404, "no such file"),
        ("/ui/assets/..%2f..%2fpages.py", 404, ""),
    ],
)
async def test_what_is_asked_wrongly_is_a_sentence(lab: Path, path: str, status: int, said: str) -> None:
    async with opened(lab / "public") as client:
        answer = await client.get(path)
    assert answer.status_code == status
    assert said.lower() in answer.text.lower()


async def test_names_from_logs_are_text_on_every_page(tmp_path: Path) -> None:
    for i, name in enumerate((HOSTILE, "javascript:alert(1)", "\u202eevil", "x" * 200)):
        write_run(
            tmp_path / f"run{i}",
            {HOSTILE: i, "kind": name},
            [{"step": float(s), f"{name}/acc": 0.1 * s} for s in range(4)],
        )
    async with opened(tmp_path) as client:
        for path in (
            "/ui",
            "/ui/runs",
            "/ui/run?id=run0",
            "/ui/compare?run=run0&run=run1",
            f"/ui/runs?where={HOSTILE}",
        ):
            text = (await client.get(path)).text
            page = Links(text)
            assert "img" not in page.tags
            assert not any(link.startswith("javascript") for link in page.found)
            assert "\u202e" not in text


STEERING = "\x1b]0;o\x07\x9b\u202eevil\u2066\u200b\ufeff\U000e0069"
INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e0fff]"
)


async def test_invisible_characters_of_names_are_shown_escaped_in_titles_tables_and_lists(tmp_path: Path) -> None:
    runs = [f"run{i}{STEERING}" for i in range(3)]
    for i, run in enumerate(runs):
        rows = [{"step": float(s), f"{STEERING}/acc": 0.1 * s * (i + 1)} for s in range(4)]
        write_run(tmp_path / run, {f"lr{STEERING}": f"{STEERING}{i}", "seed": i}, rows)
    first, second = (quote(run) for run in runs[:2])
    async with opened(tmp_path) as client:
        for path in (
            "/ui",
            "/ui/runs",
            f"/ui/run?id={first}",
            f"/ui/compare?run={first}&run={second}",
            f"/ui/run?id={quote(STEERING)}",
        ):
            text = (await client.get(path)).text
            shown = re.sub(r'value="[^"]*"', "", text)  # what a form sends back is the name itself
            assert "evil" in shown
            assert INVISIBLE.findall(shown) == []
        listed = (await client.get("/ui/runs")).text
        assert f'name="run" value="{runs[0]}"' in listed
    ExperimentDB(base_path=tmp_path).report(tmp_path / "report.html")
    assert INVISIBLE.findall((tmp_path / "report.html").read_text(encoding="utf-8").partition("<script>")[0]) == []


async def test_with_tokens_a_browser_is_sent_to_the_form_and_learns_nothing(lab: Path) -> None:
    async with web(lab) as client:
        for path in PAGES:
            answer = await client.get(path)
            assert (answer.status_code, answer.headers["location"]) == (303, "/ui/login")
            assert "public" not in answer.text
        assert (await client.get("/ui/events")).status_code == 401
        form = await client.get("/ui/login")
        assert form.status_code == 200
        assert 'type="password"' in form.text
        assert (await client.get("/ui/assets/page.css")).status_code == 200


async def test_a_token_typed_into_the_form_becomes_a_cookie_that_scripts_and_other_sites_cannot_use(lab: Path) -> None:
    async with web(lab) as client:
        wrong = await client.post("/ui/login", data={"token": "no-token-of-anybody"})
        assert wrong.status_code == 401
        assert "set-cookie" not in wrong.headers
        assert "no-token-of-anybody" not in wrong.text
        right = await client.post("/ui/login", data={"token": EVERYTHING})
        assert (right.status_code, right.headers["location"]) == (303, "/ui")
        cookie = right.headers["set-cookie"].lower()
        assert all(part in cookie for part in ("httponly", "samesite=strict", "path=/ui"))
        assert "secure" not in cookie  # plain HTTP here
        assert EVERYTHING not in right.headers["set-cookie"]
        runs = (await client.get("/ui/runs")).text
        assert "public_run0" in runs
        assert "secret_run0" in runs
        left = await client.post("/ui/logout")
        assert left.headers["location"] == "/ui/login"
        assert (await client.get("/ui/runs")).status_code == 303


async def test_over_tls_the_cookie_is_sent_over_tls_only(lab: Path) -> None:
    async with web(lab) as client:
        answer = await client.post("https://127.0.0.1:8917/ui/login", data={"token": EVERYTHING})
    assert "secure" in answer.headers["set-cookie"].lower()


async def test_a_token_limited_to_a_root_sees_no_other_roots_runs_on_any_page(lab: Path) -> None:
    async with web(lab) as client:
        await client.post("/ui/login", data={"token": PUBLIC})
        for path in (*PAGES, "/ui/run?id=secret_run0", "/ui/runs?where=secret_lr > 0", "/ui?metric=secret/acc"):
            text = re.sub(
                r'value="[^"]*"|<(title|h1)>[^<]*', "", (await client.get(path)).text
            )  # what was asked stands there too
            said = (
                text.replace("secret_run0&#39; ", "").replace("&#39;secret/acc&#39;", "").replace("secret_lr&#39;", "")
            )
            assert "secret_run1" not in said
            assert str(lab / "secret") not in said
            assert path in PAGES or "secret" not in said.split("Nearest")[-1]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
    ],
)
async def test_pages_of_other_sites_get_nothing(lab: Path, headers: dict[str, str]) -> None:
    async with opened(lab / "public", **headers) as client:
        for path in ("/ui", "/ui/events", "/ui/assets/page.js"):
            assert (await client.get(path)).status_code == 403
        assert (await client.post("/ui/login", data={"token": "x"})).status_code == 403


async def test_a_foreign_host_is_refused_and_a_link_from_elsewhere_is_followed(lab: Path) -> None:
    async with opened(lab / "public", Host="evil.example") as client:
        assert (await client.get("/ui")).status_code == 421
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    async with opened(lab / "public", **link) as client:
        assert (await client.get("/ui/runs")).status_code == 200


async def test_off_loopback_the_form_of_the_servers_own_page_is_accepted_under_every_name(lab: Path) -> None:
    async with web(lab, host="0.0.0.0") as client:
        own = {"Host": "lab.example", "Origin": "https://lab.example"}
        assert (await client.post("/ui/login", data={"token": PUBLIC}, headers=own)).status_code == 303
        other = {"Host": "lab.example", "Origin": "https://evil.example"}
        assert (await client.post("/ui/login", data={"token": PUBLIC}, headers=other)).status_code == 403


@pytest.mark.parametrize("cookie", ["x", "é", "====", "AAAA\x00", "bm90LWEtdG9rZW4", "A" * 100_000])
async def test_a_cookie_that_is_no_login_is_no_login(lab: Path, cookie: str) -> None:
    async with web(lab) as client:
        answer = await client.get("/ui", headers={"Cookie": f"sweeplens_token={cookie}".encode()})
    assert answer.status_code == 303


async def test_pages_count_for_the_rate_of_their_grant(lab: Path) -> None:
    async with web(lab, calls_per_minute=4) as client:
        await client.post("/ui/login", data={"token": PUBLIC})
        codes = [(await client.get("/ui/runs")).status_code for _ in range(6)]
        assert codes == [200] * 4 + [429] * 2
        other = await client.get("/ui/runs", headers={"Authorization": f"Bearer {EVERYTHING}", "Cookie": ""})
    assert other.status_code == 200


def test_a_page_hears_of_changes_and_only_of_its_own_run(tmp_path: Path) -> None:
    rows = [{"step": float(i), "acc": 0.5} for i in range(5)]
    for name in ("a", "b"):
        write_run(tmp_path / name, {"lr": 0.1}, rows)
    with serving(tmp_path, tmp_path.with_name("errors")) as served:
        heard = anyio.run(_heard, served.url.removesuffix("/mcp"), tmp_path / "b")
    assert heard == {"": True, "a": False, "b": True}


async def _heard(address: str, grown: Path) -> dict[str, bool]:
    """Which streams told of a change in one run."""
    heard: dict[str, bool] = {}

    async def listen(client: httpx2.AsyncClient, run: str) -> None:
        async with client.stream("GET", f"{address}/ui/events", params={"run": run} if run else {}) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            heard[run] = False
            with anyio.move_on_after(8):
                async for line in answer.aiter_lines():
                    heard[run] = heard[run] or line == "event: changed"
                    if heard[run]:
                        return

    async with httpx2.AsyncClient(timeout=60) as client:
        await client.get(f"{address}/ui/runs")
        async with anyio.create_task_group() as group:
            for run in ("", "a", "b"):
                group.start_soon(listen, client, run)
            while len(heard) < 3:
                await anyio.sleep(0.05)
            await anyio.sleep(1.5)
            with (grown / "metrics.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": 99.0, "acc": 0.9}) + "\n")
    return heard
