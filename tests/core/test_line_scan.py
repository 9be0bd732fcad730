"""The compiled scan of a text log finds the lines, shapes and numbers that Python finds, and reads nothing beyond its text."""

from __future__ import annotations

import ctypes
import mmap
import struct
import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sweeplens.native.library import compiled_library
from sweeplens.native.line_scan import LineScan
from sweeplens.readers.text.blocks import LineGroup, TextBlock, block_of, listed_block
from sweeplens.readers.text.lines import cleaned
from sweeplens.readers.text.parse import TextParser

DATES = st.builds(
    "{:04}{}{:02}-{:02}{}{:02}:{:02}:{:02}{}{}".format,
    st.integers(1960, 2210), st.sampled_from("-/"), st.integers(0, 13), st.integers(0, 32), st.sampled_from("T _x"),
    st.integers(0, 25), st.integers(0, 61), st.integers(0, 61),
    st.sampled_from(["", ".5", ",123", ".1234567", ","]), st.sampled_from(["", "Z", "+02:00", "-0330", "+1"]),
)  # fmt: skip
PIECES = st.one_of(
    st.floats(allow_nan=False).map(repr),
    st.floats(0, 1000).map("{:.4f}".format),
    st.integers(-(2**70), 2**70).map(str),
    st.integers(0, 99999).map("{:,}".format),
    DATES,
    st.from_regex(r"[-+]?[0-9]{1,24}(\.[0-9]{0,24})?([eE][-+]?[0-9]{1,5})?", fullmatch=True),
    st.from_regex(r"[0-9]{1,4}(:[0-9]{2}){1,3}(\.[0-9]{1,3})?", fullmatch=True),
    st.sampled_from(
        "nan NaN -inf +Inf Infinity -nan nanx xinf inf. 1e 1e+ 1. .5 007 -0 1,234,5 12,345.6 f1= acc1: t12:3".split()
    ),
    st.sampled_from([" loss: ", " | ", "[", "/", " - ", "-", "+", ":", ",", "e", "_", "x", "%", "\t", "INFO "]),
    st.sampled_from(["\u00a0| ", "█▌", "損失：", "٣", "１", "🚀"]),
    st.sampled_from(
        ["Train:", "stage.TEST", "--- Validation results ---", "val-set", "eval_metrics:", "testing", "*dev*", "["]
    ),
    st.text(max_size=3),
)
LINES = st.lists(PIECES, max_size=9).map("".join)
DIGITS = st.from_regex(r"[-+]?[0-9]{1,3}(\.[0-9]{1,3})?|nan|-inf|[0-9]:[0-9]{2}|:[0-9]{2}", fullmatch=True)


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    """Lines of which many have the shape of another one, or nearly."""
    shapes = draw(st.lists(LINES, min_size=1, max_size=3))
    lines: list[str] = []
    for shape in draw(st.lists(st.sampled_from(shapes), max_size=12)):
        cut = draw(st.integers(0, len(shape)))
        lines.append(shape[:cut] + draw(DIGITS) + shape[cut:] if draw(st.booleans()) else shape)
    return cleaned("\n".join(lines).encode("utf-8", "replace"))


def bits(values: list[float | None]) -> list[object]:
    """Doubles as they are stored, so that -0.0 is not 0.0; every NaN is the same."""
    return [None if v is None else "nan" if v != v else struct.pack("d", v) for v in values]


def content(block: TextBlock) -> list[object]:
    """All that the two kinds of block say about a text."""
    kinds = block.kinds
    every = np.arange(len(kinds), dtype=np.int64)
    groups: list[LineGroup] = block.groups(every, len(kinds)) if kinds else []
    found: list[object] = [kinds, block.ends]
    for group, kind in zip(groups, kinds, strict=True):
        found.append((group.lines.to_list(), group.shapes.tolist()))
        for place in range(kind.shape.count("\x01")):
            tokens = group.tokens
            found.append(
                (bits(tokens.numbers(place).to_list()), tokens.times(place).to_list(), tokens.texts(place).to_list())
            )
    return found


@settings(max_examples=100, deadline=None)
@given(text=texts())
@example(b"x1:5\nx1:05\n")
@example(b"a -5\na 5\na --5\na-5")
@example(b"t INFO 1 inf\nt INFO 1 nan\nloss inf\nloss 1\nloss inf\n| inf |")
@example(b"2024-05-08 10:11:12,123 a 1\n2024-05-08 a 1\n12:30 a 1")
@example(
    b"Train:\ntrain\n[VALID]\nval-results.\nval-x:\n- test_set -\nStage.EVAL\nstage eval\n| test: |\n"
    + b"-" * 61
    + b"dev\n-"
    + b"-" * 61
    + b"dev"
)
@example("loss 1 | ٣\nloss 2 | 3".encode())
def test_a_scan_finds_what_python_finds(text: bytes) -> None:
    assert content(block_of(text)) == content(listed_block(text))


NUMBERS = st.one_of(
    st.floats(0, 100).map("{:.4f}".format),
    st.floats(0, 1).map("{:.3e}".format),
    st.integers(-9, 10**12).map(str),
    st.sampled_from(["nan", "-inf", "1,234.5", "1.", "-0", "007", "12345678.25", "1e-30", "-nan", "none", "3:20"]),
)
ROWS = (
    "2024-05-08 04:06:{s:02},127 INFO Epoch [{e}/3], Step [{i}/9], Loss: {a} ({b}), lr: {b}",
    "epoch {e} | step {i} | loss {a} | acc {b}%",
    "| rollout/ | |\n| ep_rew_mean | {a:<9} |\n| time/ | |\n| total_timesteps | {i} |\n-----",
    "Epoch {e}: 10%|#| {i}/9 [00:01<00:02, 9.0it/s, loss={a}]",
    "{i}/9 [=====>....] - ETA: 10s - loss: {a} - accuracy: {b}",
    "[rank{r}]: iter {i} loss {a}",
    "val epoch {e} Acc@{r}: {a}",
    "  train_loss    {a}\n  iteration     {i}\n",
    "Validation:",
    "--- test ---\nloss: {a}",
    "saving checkpoint",
)


@st.composite
def logs(draw: st.DrawFn) -> bytes:
    """Rows of a few statements, in turn or mixed, some of them with numbers of unusual forms."""
    rows = draw(st.lists(st.sampled_from(ROWS), min_size=1, max_size=4))
    steps = draw(st.lists(st.tuples(st.integers(0, 3), NUMBERS, NUMBERS), min_size=2, max_size=12))
    made = [
        rows[(at + skip) % len(rows)].format(s=at % 60, e=1 + at // 6, i=at % 6, r=at % 2, a=a, b=b)
        for at, (skip, a, b) in enumerate(steps)
    ]
    return cleaned("\n".join(made).encode() + b"\n" + b"x" * 70 + b"\n")


@settings(max_examples=40, deadline=None)
@given(log=logs(), further=logs())
def test_a_log_says_the_same_however_its_lines_are_found(log: bytes, further: bytes) -> None:
    """Two parts, so that the second one meets shapes that are known."""
    one, other = TextParser("train.log"), TextParser("train.log", blocks=listed_block)
    for part in (log, further):
        compiled, plain = one.feed(part), other.feed(part)
        assert compiled.points.equals(plain.points)
        assert (compiled.unread, compiled.first_unread, compiled.unplaced) == (
            plain.unread, plain.first_unread, plain.unplaced,
        )  # fmt: skip
        assert compiled.lines == plain.lines == part.count(b"\n")
        assert one.state() == other.state()
        assert one.shapes == other.shapes


def test_texts_of_the_usual_scripts_are_scanned() -> None:
    """Else the test above compares Python with itself."""
    assert compiled_library() is not None
    for text in (b"", b"loss 1\n", "損失：0.5 ██▌ 10% | é\n".encode(), "🚀 step 1 loss 0.5\n".encode()):
        assert LineScan.of(text) is not None
    assert LineScan.of("٣ ١\n".encode()) is None


def test_a_line_with_too_many_numbers_is_no_row() -> None:
    for count, rows in ((1023, 1), (1024, 0)):
        scan = LineScan.of(b"1 " * count)
        assert scan is not None
        assert len(scan.numbers) == rows
        with pytest.raises(IndexError):
            scan.values(np.zeros(1, np.int64), count)


@pytest.mark.skipif(sys.platform != "linux", reason="needs mprotect as Linux has it")
@settings(max_examples=40, deadline=None)
@given(text=texts(), cut=st.integers(0, 20))
def test_nothing_is_read_beyond_the_end_of_a_log(text: bytes, cut: int) -> None:
    """The text ends where a page ends behind which no memory may be touched: a step too far would end this process."""
    text = text[: max(0, len(text) - cut)][-mmap.PAGESIZE :]
    library = compiled_library()
    assert library is not None
    with mmap.mmap(-1, 2 * mmap.PAGESIZE) as pages:
        page = ctypes.addressof(ctypes.c_char.from_buffer(pages))
        libc = ctypes.CDLL(None)
        wall = ctypes.c_void_p(page + mmap.PAGESIZE)
        pages[mmap.PAGESIZE - len(text) : mmap.PAGESIZE] = text
        assert libc.mprotect(wall, mmap.PAGESIZE, 0) == 0
        handle = library.scan_new()
        try:
            found = library.scan_text(handle, ctypes.cast(page + mmap.PAGESIZE - len(text), ctypes.c_char_p), len(text))
        finally:
            library.scan_free(handle)
            assert libc.mprotect(wall, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_WRITE) == 0
        assert found == -2 or found <= text.count(b"\n") + 1
