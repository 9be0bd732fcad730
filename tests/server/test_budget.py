"""The budget holds for any answer there could be, and a walk over its pages gives every row once."""

from __future__ import annotations

import json
import string
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sweeplens.answers import Answer, Basis, LeftOut
from sweeplens_mcp.render.answers import (
    PageRequest,
    Renderer,
    ToolReply,
    render_overview,
    render_series,
    render_tables,
    reply,
)

BUDGETS = (2_000, 8_000)
TEXT = st.text(max_size=60) | st.text(alphabet="ä漢😀\x1b\n", max_size=40) | st.builds("x".__mul__, st.just(5_000))
NUMBERS = st.floats(allow_nan=True, allow_infinity=True) | st.none()
VALUES = (NUMBERS, TEXT | st.none(), st.integers(-(2**62), 2**62) | st.none(), st.booleans() | st.none())


@st.composite
def tables(draw: st.DrawFn, most_rows: int = 25) -> pl.DataFrame:
    """A table of any shape; its first column tells the rows apart."""
    rows = draw(st.integers(0, most_rows))
    columns: dict[str, list[Any]] = {"id": [f"row {i}" for i in range(rows)]}
    width = draw(st.integers(0, 8) | st.just(120))
    values = [draw(st.lists(draw(st.sampled_from(VALUES)), min_size=3, max_size=3)) for _ in range(min(width, 8))]
    for n in range(width):
        name = draw(TEXT) if n < 8 else "column"
        columns[f"{name}{n}"] = [values[n % 8][(i * 7 + n) % 3] for i in range(rows)] if values else []
    return pl.DataFrame(columns, strict=False)


BASES = st.builds(
    Basis,
    roots=st.lists(TEXT, max_size=12).map(tuple),
    data_version=st.text(string.digits, max_size=4),
    left_out=st.lists(st.builds(LeftOut, TEXT, st.lists(TEXT, max_size=20).map(tuple)), max_size=14).map(tuple),
    points=st.integers(0, 10**12),
    sampling=TEXT,
    warnings=st.lists(TEXT, max_size=20).map(tuple),
    python=TEXT,
)
ANSWERS = st.tuples(
    tables(),
    BASES,
    st.lists(TEXT, max_size=30).map(tuple),
    st.dictionaries(st.text(string.ascii_letters, min_size=1, max_size=8), tables(), max_size=3),
).map(lambda parts: Answer(*parts))
MODEST = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def pages(answer: Answer, budget: int, renderer: Renderer, limit: int = 0) -> list[ToolReply]:
    """Every page of an answer, each held against the budget."""
    made = [reply(answer, PageRequest(budget, 0, limit, lambda row: f"cursor-{row:020}"), renderer)]
    while (start := made[-1].next_row) is not None:
        made.append(reply(answer, PageRequest(budget, start, limit, lambda row: f"cursor-{row:020}"), renderer))
    for page in made:
        assert len(json.dumps(page.structured).encode()) <= budget
        assert len(page.text.encode()) <= budget
    return made


@MODEST
@given(ANSWERS, st.sampled_from(BUDGETS), st.sampled_from([render_tables, render_overview]), st.sampled_from([0, 1, 9]))
def test_any_answer_fits_and_no_row_is_lost_or_given_twice(
    answer: Answer, budget: int, renderer: Renderer, limit: int
) -> None:
    made = pages(answer, budget, renderer, limit)
    given_ids = {name: [] for name in ("", *answer.tables)}
    for page in made:
        parts = {"": page.structured, **page.structured.get("tables", {})}
        for name, part in parts.items():
            given_ids[name] += [row[0] for row in part["rows"]]
    assert given_ids[""] == answer.table["id"].to_list()
    for name, table in answer.tables.items():
        assert given_ids[name] == table["id"].to_list()


@st.composite
def curves(draw: st.DrawFn) -> Answer:
    """Some series, from short ones to one that is longer than an answer."""
    lengths = draw(st.lists(st.integers(1, 400), min_size=1, max_size=4))
    rows = [
        (f"run {i}", "m", float(x), x * 0.1 if x % 7 else float("nan")) for i, n in enumerate(lengths) for x in range(n)
    ]
    table = pl.DataFrame(rows, schema=["run_id", "metric", "x", "value"], orient="row")
    counts = [(f"run {i}", "m", n * 10, n) for i, n in enumerate(lengths)]
    series = pl.DataFrame(counts, schema=["run_id", "metric", "n", "n_shown"], orient="row")
    return Answer(table, Basis(), tables={"series": series})


@MODEST
@given(curves(), st.sampled_from(BUDGETS))
def test_series_go_on_where_they_were_cut_and_lose_no_point(answer: Answer, budget: int) -> None:
    xs: dict[str, list[float]] = {}
    for page in pages(answer, budget, render_series):
        for series in page.structured["series"]:
            assert len(series["x"]) == len(series["value"])
            assert len(series["nonfinite"]) == sum(v is None for v in series["value"])
            xs.setdefault(series["run_id"], []).extend(series["x"])
    assert {run: len(x) for run, x in xs.items()} == dict(
        answer.tables["series"].select("run_id", "n_shown").iter_rows()
    )
    assert all(x == list(range(len(x))) for x in xs.values())


def test_a_page_ends_with_a_whole_series_where_one_fits() -> None:
    rows = [(f"run {i}", "m", float(x), 0.123456789) for i in range(20) for x in range(40)]
    table = pl.DataFrame(rows, schema=["run_id", "metric", "x", "value"], orient="row")
    first = reply(Answer(table), PageRequest(8_000, cursor=str), render_series)
    assert first.next_row
    assert first.next_row % 40 == 0
    assert all(len(series["x"]) == 40 for series in first.structured["series"])


def test_a_table_too_wide_for_one_row_loses_columns_with_a_warning() -> None:
    wide = pl.DataFrame({f"hyperparameter number {n}": ["value"] for n in range(3_000)})
    made = reply(Answer(wide), PageRequest(8_000))
    assert 0 < len(made.structured["columns"]) < 3_000
    assert any("columns do not fit" in w for w in made.structured["basis"]["warnings"])


@pytest.mark.parametrize("length", [10, 10_000_000])
def test_a_cell_however_long_is_shown_as_far_as_it_fits_with_its_length(length: int) -> None:
    made = reply(Answer(pl.DataFrame({"id": ["a"], "text": ["y" * length]})), PageRequest(8_000))
    shown = made.structured["rows"][0][1]
    assert shown == "y" * length or shown.endswith(f"({length} characters)")
