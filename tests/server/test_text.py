"""Cells and tables as text: nothing that a log could use to speak, nothing longer than asked, numbers one can read."""

from __future__ import annotations

import json
import sys
import unicodedata
from datetime import UTC, datetime, timedelta, timezone

import pytest

from sweeplens_mcp.render.cells import cell, clean, cleaned, clip, csv_cell, json_line, markdown, show
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
        ("naïve 中文\u3000ｱ क्षि 👍🏽 ❤", "naïve 中文\u3000ｱ क्षि 👍🏽 ❤"),
        ("a\u200bb\ufeff", "a\\u200bb\\ufeff"),
        ("run\U000e0041\U000e007f", "run\\U000e0041\\U000e007f"),
        ("👩\u200d🔬 ❤\ufe0f\U000e0100", "👩\\u200d🔬 ❤\\ufe0f\\U000e0100"),
        ("one\u2028two\u2029three\x85", "one\\u2028two\\u2029three\\x85"),
        ("10\xa0000\u2009s\u2800\u3164", "10\\xa0000\\u2009s\\u2800\\u3164"),
        ("\ue000\U0010fffd\ufdd0\U0001ffff", "\\ue000\\U0010fffd\\ufdd0\\U0001ffff"),
    ],
)
def test_characters_that_control_a_terminal_are_escaped_and_others_stay(text: str, shown: str) -> None:
    assert clean(text) == shown


VISIBLE = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd")
"""Format characters that are drawn: number signs of Arabic, Syriac and Kaithi."""
SPACES = frozenset(" \u3000")


def test_no_control_format_separator_private_or_unpaired_character_of_unicode_is_shown_as_it_is() -> None:
    invisible = (
        char
        for char in map(chr, range(sys.maxunicode + 1))
        if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp", "Zs") and char not in VISIBLE | SPACES
    )
    assert [hex(ord(char)) for char in invisible if clean(char) == char] == []


def test_every_letter_number_mark_and_sign_is_shown_as_it_is_unless_unicode_says_that_it_is_not_drawn() -> None:
    kept = (c for c in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(c)[0] in "LNPSM" and clean(c) != c)
    selectors = {*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)}
    fillers = {0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, *range(0x180B, 0x1810), 0x2800, 0x3164, 0xFFA0, 0x1D159}
    assert {ord(char) for char in kept} <= selectors | fillers


def test_cleaning_escaped_text_again_changes_nothing() -> None:
    shown = clean("".join(map(chr, range(0x3000))))
    assert clean(shown) == shown


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\uff1d", " =", "\t="])
def test_a_text_that_a_spreadsheet_would_take_for_a_formula_is_text(start: str) -> None:
    assert csv_cell(f"{start}cmd|' /C calc'!A0")[0] in "'\\"


@pytest.mark.parametrize("number", ["-0.5", "+1", "-1e-05", "-inf", "3"])
def test_a_number_stays_a_number_in_csv(number: str) -> None:
    assert csv_cell(number) == number


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<img src=x onerror=alert(1)>", "&lt;img src=x onerror=alert(1)&gt;"),
        ("[click](javascript:x) ![a](b)", "\\[click](javascript:x) !\\[a](b)"),
        ("**bold** `code` _it_ a~b", "\\*\\*bold\\*\\* \\`code\\` \\_it\\_ a\\~b"),
        ("https://evil.example www.evil.example", "https\\://evil.example www\\.evil.example"),
        ("# head", "\\# head"),
        ("1. item", "1\\. item"),
        ("a &lt; b", "a &amp;lt; b"),
        ("\\*a\\", "\\\\\\*a\\"),
        ("val/acc_top1 is lr_max", "val/acc_top1 is lr_max"),
        ("a\n# b\u200b", "a\\n# b\\u200b"),
    ],
)
def test_within_markdown_a_text_is_nothing_but_text(text: str, shown: str) -> None:
    assert markdown(text) == shown


def test_texts_are_cleaned_wherever_they_lie_and_a_line_of_json_reads_back_as_it_was() -> None:
    held = {"a\u200b": ["x\x9b", {"b": "\U000e0041"}], "n": [1, 0.5, None, True]}
    assert cleaned(held) == {"a\\u200b": ["x\\x9b", {"b": "\\U000e0041"}], "n": [1, 0.5, None, True]}
    line = json_line(held | {"c": "\x7f\udce9\x1b ü"})
    assert clean(line) == line
    assert "ü" in line
    assert json.loads(line) == held | {"c": "\x7f\udce9\x1b ü"}


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


def test_floats_have_five_digits_integers_have_all_and_null_is_a_dash() -> None:
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
