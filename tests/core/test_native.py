"""The compiled reader takes rows of numbers as Python reads them, leaves every other line, reads nothing beyond its text."""

from __future__ import annotations

import ctypes
import json
import math
import mmap
import shutil
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import sweeplens
from sweeplens.native.library import is_compiled
from sweeplens.native.step_table import StepTable
from sweeplens.readers.decoding.values import as_time, number_in

DIGITS = st.text("0123456789", min_size=1, max_size=30)
EXPONENTS = st.one_of(
    st.just(""), st.builds("{}{}{}".format, st.sampled_from("eE"), st.sampled_from(["", "+", "-"]), DIGITS)
)
NUMBERS = st.one_of(
    st.floats().map(json.dumps),
    st.integers(-(2**80), 2**80).map(str),
    st.builds("{}{}{}".format, st.sampled_from(["", "-"]), DIGITS, EXPONENTS),
    st.builds("{}{}.{}{}".format, st.sampled_from(["", "-"]), DIGITS, DIGITS, EXPONENTS),
)
STAMPS = st.builds(
    "{:04}-{:02}-{:02}{}{:02}:{:02}:{:02}{}{}".format,
    st.integers(1960, 2210), st.integers(0, 13), st.integers(0, 32), st.sampled_from("T tx"),
    st.integers(0, 25), st.integers(0, 60), st.integers(0, 61),
    st.sampled_from(["", ".5", ".123456", ".1234567", ".", ",5"]),
    st.sampled_from(["", "Z", "z", "+02:00", "-23:59", "+24:00", "+1:00"]),
)  # fmt: skip
TEXTS = st.one_of(
    STAMPS,
    st.text(max_size=12),
    st.sampled_from(["nan", "Inf", "tensor(1.)", "float32(2)", "50%", "[1]", "1/3", "a" * 300, "train"]),
)
VALUES = st.one_of(
    NUMBERS,
    STAMPS.map(json.dumps),
    st.sampled_from(
        ["null", "true", '"x"', '"train"', '"nan"', '"1"', "[]", "{}", "-NaN", "+1", ".5", "1.", "", "0x1", "1e"]
    ),
)
KEYS = st.sampled_from(["loss", "val/acc", "präzision", "a b", 'quo\\"te', "", "step"])


def table_of(text: bytes, axis: str = "step") -> tuple[pl.DataFrame, list[int]]:
    """The rows of a text, and the numbers of the lines in doubt."""
    with StepTable(axis, most_cells=1 << 20) as table:
        table.begin(0)
        taken = table.read(text, len(text))
        assert taken is not None
        table.keep()
        return table.frame(), [doubt.number for doubt in taken.doubts]


def bits(value: float) -> bytes:
    """A double as it is stored, so that -0.0 is not 0.0; every NaN is the same."""
    return struct.pack("d", math.nan if math.isnan(value) else value)


def values_of(numbers: Sequence[str]) -> list[float | None]:
    """Each number as a value of a row of its own; None where its line is in doubt."""
    text = "".join(f'{{"step": {i}, "x": {n}}}\n' for i, n in enumerate(numbers))
    frame, _ = table_of(text.encode())
    found = dict(zip(frame["\0step"], frame["x"], strict=True)) if "x" in frame.columns else {}
    return [found.get(i) for i in range(len(numbers))]


@settings(max_examples=500, deadline=None)
@given(numbers=st.lists(VALUES, min_size=1, max_size=40))
@example(
    numbers=["9007199254740993", "1e23", "-0", "-0.0", "-18446744073709551616", "2.2250738585072014e-308", "1e400"]
)
@example(numbers=["0.1000000000000000055511151231257827021181583404541015625", "179769313486231570000000000000000e276"])
def test_a_number_equals_that_of_python_or_its_line_is_left_to_python(numbers: list[str]) -> None:
    for text, value in zip(numbers, values_of(numbers), strict=True):
        if value is not None:
            read = json.loads(text)
            if isinstance(read, str):
                assert value == (as_time(read) or read)
                continue
            assert type(read) in (int, float), text
            assert bits(value) == bits(float(read)), text


@settings(max_examples=300, deadline=None)
@given(numbers=st.lists(st.floats(allow_subnormal=False), min_size=1, max_size=40))
def test_normal_doubles_written_by_python_are_always_certain(numbers: list[float]) -> None:
    assert [bits(v) for v in values_of([json.dumps(n) for n in numbers]) if v is not None] == [bits(n) for n in numbers]


def is_plain(line: bytes) -> bool:
    """Whether Python finds a flat object of numbers and texts, each key once, with a whole number at the step."""
    try:
        pairs = json.loads(line, object_pairs_hook=list)
        keys = [key for key, _ in pairs]
        return (
            line.lstrip(b" \t\r").startswith(b"{")
            and len(set(keys)) == len(keys)
            and type(dict(pairs)["step"]) is int
            and not any(isinstance(value, list) for _, value in pairs)  # objects are lists of pairs here
        )
    except (ValueError, TypeError, KeyError):
        return False


LINES = st.one_of(
    st.lists(st.tuples(KEYS, VALUES), max_size=4).map(
        lambda pairs: "{" + ", ".join(f'"{k}": {v}' for k, v in [("step", 1), *pairs]) + "}"
    ),
    st.text(st.sampled_from('{}[]",:0123456789.eE+-NaInfity \t\r\\step'), max_size=30),
    st.sampled_from(
        ["", "   ", "\r", '{"step":1 ,\t"loss" :2 } \r', '{"step": 1,}', '{"step": 1} x', "{}", '{"step": 1.0}']
    ),
)


@settings(max_examples=500, deadline=None)
@given(lines=st.lists(LINES, max_size=12))
def test_only_plain_rows_are_taken_and_all_others_are_named(lines: list[str]) -> None:
    text = "".join(line + "\n" for line in lines).encode()
    frame, doubts = table_of(text)
    taken = [number for number in range(len(lines)) if number not in doubts]
    assert frame.height == len(taken)
    for row, number in zip(frame.iter_rows(named=True), taken, strict=True):
        assert is_plain(lines[number].encode()), lines[number]
        read = json.loads(lines[number])
        assert row["\0step"] == read.pop("step")
        held = {key: _same(value) for key, value in row.items() if key[:1] != "\0" and value is not None}
        assert held == {key: _same(value) for key, value in read.items() if type(value) in (int, float, str)}


def _same(value: object) -> object:
    """A value in a form that equals only itself; a text that is a time as that time."""
    if isinstance(value, str):
        return as_time(value) or value
    return bits(float(value)) if isinstance(value, int | float) else value


@settings(max_examples=300, deadline=None)
@given(text=TEXTS)
def test_a_text_is_a_time_or_a_word_that_is_no_number_or_its_line_is_in_doubt(text: str) -> None:
    frame, doubts = table_of(f'{{"step": 1, "x": {json.dumps(text, ensure_ascii=False)}}}\n'.encode())
    if not doubts:
        assert frame["x"].to_list() == [as_time(text) or text]
        assert number_in(text) is None


@settings(max_examples=200, deadline=None)
@given(files=st.lists(st.tuples(st.lists(LINES, max_size=6), st.booleans()), max_size=6))
def test_a_file_that_is_not_kept_leaves_no_trace(files: list[tuple[list[str], bool]]) -> None:
    def frame_of(chosen: list[tuple[list[str], bool]]) -> pl.DataFrame:
        with StepTable("step", most_cells=1 << 20) as table:
            place = 0
            for lines, kept in chosen:
                table.begin(place)
                text = "".join(line + "\n" for line in lines).encode()
                table.read(text, len(text))
                if kept:
                    table.keep()
                    place += 1
            return table.frame()

    assert frame_of(files).equals(frame_of([file for file in files if file[1]]))


@pytest.mark.skipif(sys.platform != "linux", reason="needs mprotect as Linux has it")
@settings(max_examples=300, deadline=None)
@given(lines=st.lists(LINES, min_size=1, max_size=4), cut=st.integers(0, 60))
def test_nothing_is_read_beyond_the_end_of_a_text(lines: list[str], cut: int) -> None:
    """The text ends where a page ends behind which no memory may be touched: a step too far would end this process."""
    text = "\n".join(lines).encode()
    text = text[: max(0, len(text) - cut)][-mmap.PAGESIZE :]
    table = StepTable("step", most_cells=1 << 20)
    with table, mmap.mmap(-1, 2 * mmap.PAGESIZE) as pages:
        page = ctypes.addressof(ctypes.c_char.from_buffer(pages))
        libc = ctypes.CDLL(None)
        wall = ctypes.c_void_p(page + mmap.PAGESIZE)
        pages[mmap.PAGESIZE - len(text) : mmap.PAGESIZE] = text
        assert libc.mprotect(wall, mmap.PAGESIZE, 0) == 0
        try:
            table.begin(0)
            taken = table.read(page + mmap.PAGESIZE - len(text), len(text))
        finally:
            assert libc.mprotect(wall, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_WRITE) == 0
        assert taken is not None
        assert taken.bytes == text.rfind(b"\n") + 1
        assert taken.lines == text.count(b"\n")


def test_a_table_holds_no_more_cells_than_it_was_allowed() -> None:
    """Keys that are new in every row would be a column each."""
    lines = [json.dumps({"step": i, f"loss of {i}": 0.5}) for i in range(5000)]
    text = "\n".join(lines).encode() + b"\n"
    with StepTable("step", most_cells=1 << 16) as table:
        table.begin(0)
        assert table.read(text, len(text)) is None
        assert table.rows * table.width <= 1 << 16


def test_make_installs_the_compiled_reader() -> None:
    assert is_compiled()


def test_a_build_asks_for_a_compiler_only_where_there_is_none(tmp_path: Path) -> None:
    """What `make` and pip install before they build."""
    build = Path(__file__).parents[2] / "hatch_build.py"

    def needed(path: Path) -> str:
        asked = [sys.executable, str(build)]
        return subprocess.run(asked, env={"PATH": str(path)}, capture_output=True, text=True, check=True).stdout.strip()

    assert needed(tmp_path).startswith("ziglang==")
    (tmp_path / ("cc.exe" if sys.platform == "win32" else "cc")).touch(mode=0o755)
    assert needed(tmp_path) == ""


READ = """
import sys
from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.native.library import is_compiled
db = ExperimentDB(AnalysisConfig(cache="memory"), base_path=sys.argv[1])
db.load_experiments()
db.lazy_query().sort("run_id", "metric", "step").collect().write_parquet(sys.argv[2])
print(is_compiled())
"""


def test_without_the_compiled_part_everything_is_read_by_python(tmp_path: Path) -> None:
    """As where nothing could compile it, or where it was built for another machine."""
    logs = tmp_path / "logs"
    for run in range(3):
        (logs / f"run{run}").mkdir(parents=True)
        rows = [json.dumps({"step": i, "loss": run + 1 / (i + 1)}) for i in range(50)]
        (logs / f"run{run}" / "metrics.jsonl").write_text("\n".join(rows) + "\n")
    (logs / "text").mkdir()
    printed = [
        f"2024-05-08 04:06:{i:02},5 INFO Epoch [1/1], Step [{i}/50], Loss: {7 / (i + 3):.4f} (1,{i:03})"
        for i in range(1, 51)
    ]
    (logs / "text" / "train.log").write_text("\n".join(printed) + "\n")
    home = Path(sweeplens.__file__).parent
    shutil.copytree(home, tmp_path / "bare" / "sweeplens", ignore=shutil.ignore_patterns("step_lines*"))
    read: dict[str, pl.DataFrame] = {}
    for name, path in (("compiled", home.parent), ("bare", tmp_path / "bare")):
        done = subprocess.run(
            [sys.executable, "-c", READ, str(logs), str(tmp_path / f"{name}.parquet")],
            env={"PYTHONPATH": str(path)}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout.strip() == str(name == "compiled")
        assert ("read by Python" in done.stderr) == (name == "bare")
        read[name] = pl.read_parquet(tmp_path / f"{name}.parquet")
    assert read["bare"].height == 150 + 50 * 2
    assert read["bare"].equals(read["compiled"])
