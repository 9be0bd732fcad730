"""Cells and tables as text: nothing that a log could use to speak, nothing longer than asked, numbers one can read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from sweeplens_mcp.render.cells import cell, clean, clip, show
from sweeplens_mcp.render.tables import TextTable, table_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("two\nlines\r\n", "two\\nlines\\r\\n"),
        ("\x9b31m", "\\x9b31m"),
        ("abc\u202edcba", "abc\\u202edcba"),
        ("half \ud83d", "half \\ud83d"),
        ("größe 漢 😀", "größe 漢 😀"),
    ],
)
def test_what_could_steer_a_terminal_is_written_out_and_all_else_stays(text: str, shown: str) -> None:
    assert clean(text) == shown


def test_a_long_text_is_cut_and_says_how_long_it_was() -> None:
    assert clip("x" * 50, 50) == "x" * 50
    assert clip("x" * 51, 50) == "x" * 50 + "… (51 characters)"


def test_values_of_every_kind_become_cells() -> None:
    assert cell(float("nan"), 50) is None
    assert cell([1, float("inf"), "a\n"], 50) == [1, "inf", "a\\n"]
    assert cell(list(range(100)), 20) == [0, 1, 2, 3, 4, 5, "… 94 more"]
    assert cell(datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=1))), 50) == "2026-01-02T02:04:05Z"
    assert cell(datetime(2026, 1, 2, tzinfo=UTC) - datetime(2026, 1, 1, tzinfo=UTC), 50) == "86400 s"
    assert cell({"b": [1, None]}, 50) == '{"b": [1, null]}'
    assert cell(True, 50) is True


def test_numbers_have_five_digits_whole_numbers_all_of_theirs_and_nothing_is_a_dash() -> None:
    shown = [show(v) for v in (0.123456789, 1e-7, 123456789, True, None, ["a", 0.5])]
    assert shown == ["0.12346", "1e-07", "123456789", "true", "-", "a, 0.5"]
    assert show(None, "nan") == "nan"


def test_a_narrow_table_is_aligned_with_numbers_at_the_right() -> None:
    text = table_text(TextTable(["name", "n"], [["a", 1], ["bbb", 100], ["c", None]], {(2, 1): "nan"}))
    assert text == "name    n\na       1\nbbb   100\nc     nan"


def test_a_table_that_aligning_would_blow_up_has_commas_and_quotes_what_needs_them() -> None:
    rows = [['say "a", b', 1], ["x" * 90, 2], *([f"r{n}", n] for n in range(3, 9))]
    text = table_text(TextTable(["note", "n"], rows))
    assert text.startswith('note,n\n"say ""a"", b",1\n' + "x" * 90 + ",2\nr3,3\n")
