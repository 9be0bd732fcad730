"""Pictures as files and pages: rendered in a process that can be stopped, safe whatever names are in them."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import struct
import sys
import time
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.planted import Row, database, run

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.cancellation import cancellable
from sweeplens.charts import CHARTS
from sweeplens.charts.labels import distinct, printed
from sweeplens.charts.rendering import can_render
from sweeplens.charts.smoothing import moving_average
from sweeplens.demo_data import write_sweep
from sweeplens.errors import LimitError, RenderError
from sweeplens.pages import as_data

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
HOSTILE = [
    "</script><script>alert(1)</script>",
    "x" * 10_000,
    "\u202eevil\u202c \u05d0\u05d1",
    "a.b[c]/d'\"\\",
    "<img src=x onerror=alert(1)>",
]
needs_renderer = pytest.mark.skipif(not can_render(), reason="the extra charts is not installed")


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> ExperimentDB:
    folder = tmp_path_factory.mktemp("rendering") / "sweep"
    write_sweep(folder, now=NOW)
    return ExperimentDB(AnalysisConfig(refresh_seconds=1e6, live_seconds=1e-3), base_path=folder)


@pytest.fixture
def hostile(tmp_path: Path) -> ExperimentDB:
    """Runs with the worst names for ids, hyperparameters and metric."""
    runs: list[Row] = []
    for i, name in enumerate(HOSTILE):
        for seed in range(2):
            made = run(f"{name}{seed}", {"</script>.lr": i / 10, "kind": name, "seed": seed})
            runs.append(made | {"metrics": {"val/acc</script>": [0.1, 0.2 + i / 10, 0.3 + seed / 50]}})
    return database(tmp_path, runs, metric_goals={"val/acc</script>": "higher"})


@needs_renderer
@pytest.mark.parametrize("kind", CHARTS)
def test_each_kind_is_a_picture_of_its_size_with_its_texts(db: ExperimentDB, kind: str) -> None:
    chart = db.plot(kind, metrics=["val/acc"])
    image = chart.png("dark", most_bytes=60_000)
    width, height = struct.unpack(">II", image[16:24])
    assert image.startswith(b"\x89PNG")
    assert len(image) <= 60_000
    assert 600 <= width <= 900
    assert 380 <= height <= 620
    assert _colours(image) > 10
    svg = re.sub(r"<[^>]+>", " ", chart.svg())
    assert chart.title.split()[0] in svg
    assert kind == "timeline" or "val/acc" in svg


@needs_renderer
def test_pictures_are_written_in_the_format_that_their_name_says(db: ExperimentDB, tmp_path: Path) -> None:
    chart = db.plot("ranking", metrics=["val/acc"])
    begins = {"png": b"\x89PNG", "svg": b"<svg", "pdf": b"%PDF", "html": b"<!doctype html>", "json": b"{"}
    for ending, begin in begins.items():
        assert chart.save(tmp_path / f"x.{ending}").read_bytes().lstrip().startswith(begin)
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8")) == json.loads(json.dumps(chart.to_dict()))


@needs_renderer
def test_rendering_stops_when_its_caller_no_longer_waits(db: ExperimentDB) -> None:
    chart = db.plot("curves", metrics=["val/acc"])
    chart.png()
    began = time.monotonic()

    def nobody_waits() -> None:
        if time.monotonic() - began > 0.1:
            raise LimitError("nobody waits")

    with cancellable(nobody_waits), pytest.raises(LimitError, match="nobody waits"):
        chart.png(scale=16)
    assert time.monotonic() - began < 5
    assert chart.png().startswith(b"\x89PNG")


def test_without_the_renderer_everything_but_images_works_and_says_how_to_get_it(
    db: ExperimentDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    chart = db.plot("ranking", metrics=["val/acc"])
    assert chart.save(tmp_path / "x.json").stat().st_size > 1000
    assert "image/png" not in chart._repr_mimebundle_()
    with pytest.raises(RenderError, match=r"pip install 'sweeplens\[charts\]'"):
        chart.png()
    page = db.report(tmp_path / "r.html").read_text(encoding="utf-8")
    assert "methods of ExperimentDB in Python and tools of the server" in page
    assert "sweeplens[charts]" in page
    assert "<table" in page


@needs_renderer
@pytest.mark.parametrize("kind", ["curves", "ranking", "scatter", "parallel", "heatmap", "importance", "comparison"])
def test_hostile_names_are_drawn_as_text(hostile: ExperimentDB, kind: str) -> None:
    chart = hostile.plot(kind, **({"hparams": ["</script>.lr", "kind"]} if kind == "heatmap" else {}))
    svg = chart.svg()
    assert "<script" not in svg
    assert "<img" not in svg
    assert "\u202e" not in svg
    assert max(map(len, re.findall(r">([^<]*)<", svg))) < 500


@needs_renderer
def test_a_report_is_one_page_that_asks_for_nothing_and_runs_nothing_but_its_own_scripts(
    hostile: ExperimentDB, tmp_path: Path
) -> None:
    page = _Page()
    text = hostile.report(tmp_path / "report.html").read_text(encoding="utf-8")
    page.feed(text)
    assert page.outside == []
    allowed = set(re.findall(r"'(sha256-[^']+)'", page.policy))
    assert {_hash(script) for script in page.scripts} == allowed
    assert "unsafe-eval" not in page.policy
    assert len(page.scripts) == 2
    assert page.tags.count("img") == 0
    assert page.tags.count("table") >= 4
    assert all(json.loads(data) for data in page.data)


def test_a_section_that_fails_shows_the_error_and_the_others_stay(tmp_path: Path) -> None:
    odd = database(tmp_path, [run(f"r{i}", {"lr": i}) | {"metrics": {"thing": [1.0, 2.0, float(i)]}} for i in range(3)])
    page = odd.report(tmp_path / "r.html").read_text(encoding="utf-8")
    assert "Whether lower or higher &#39;thing&#39; is better is not known" in page
    assert 'id="runs"' in page


@given(st.lists(st.text(max_size=80), max_size=12))
def test_labels_are_short_printable_and_each_once(names: list[str]) -> None:
    labels = distinct([printed(name) for name in names])
    assert len(set(labels)) == len(names)
    assert all(0 < len(label) < 400 for label in labels)
    assert not any(c in label for label in labels for c in "\n\r\x1b\u202e\u2028")


@given(st.text(max_size=200))
def test_data_in_a_page_never_ends_its_element(text: str) -> None:
    data = as_data({"name": text + "</script>"})
    assert "<" not in data
    assert json.loads(data)["name"] == text + "</script>"


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40), st.floats(0, 0.99))
def test_a_moving_average_stays_within_its_values_and_begins_at_the_first(values: list[float], weight: float) -> None:
    smooth = moving_average(values, weight)
    room = 1e-6 * max(1.0, *map(abs, values))
    assert smooth[0] == pytest.approx(values[0])
    assert all(min(values) - room <= v <= max(values) + room for v in smooth)
    assert moving_average(values, 0.0) == pytest.approx(values)


def test_a_moving_average_over_stretches_of_points_weighs_them_as_many() -> None:
    each = moving_average([1.0, 1.0, 5.0, 5.0], 0.8)
    assert moving_average([1.0, 5.0], 0.8, [2, 2]) == pytest.approx([each[1], each[3]])


def _colours(image: bytes) -> int:
    import io

    from PIL import Image

    return len(Image.open(io.BytesIO(image)).convert("RGB").getcolors(1 << 24) or [])


def _hash(script: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


class _Page(HTMLParser):
    """What a browser would find in a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.outside: list[str] = []
        self.scripts: list[str] = []
        self.data: list[str] = []
        self.policy = ""
        self._into: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self.outside += [v for k, v in attrs if k in ("src", "href") and v and not v.startswith("#")]
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given.get("content") or ""
        if tag == "script":
            self._into = self.data if given.get("type") == "application/json" else self.scripts
            self._into.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._into = None

    def handle_data(self, data: str) -> None:
        if self._into is not None:
            self._into[-1] += data
