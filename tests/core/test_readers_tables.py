"""Delimited text: what every table promises, whatever wrote it; both paths give the same; logs are told from data sets."""

from __future__ import annotations

import gzip
import math
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from support.reading import Found, read_folder

from sweeplens.errors import FormatError
from sweeplens.readers.decoding.delimited import table as tables
from sweeplens.readers.decoding.delimited.cells import header_of
from sweeplens.readers.decoding.delimited.table import ColumnPlan, TableReading, read_header, read_table
from sweeplens.readers.decoding.zstd import zstd
from sweeplens.readers.protocol import Resume

COLUMNS = ["step", "time", "split", "m0", "m1"]
PLANS = (
    ColumnPlan(axis="step", time="time", split="split"),
    ColumnPlan(axis="step"),
    ColumnPlan(axis="m0", keep_axis=True, time="time"),
    ColumnPlan(),
    ColumnPlan(run="split", time="m1", prefix="p/", leave=frozenset({"m0"})),
)
WEIRD = (
    "", "NA", " 1.0", "1.0 ", "NaN", "-inf", "Infinity", "+1", "1_0", "True", "text", "1e400", ".5", "5.", "1e", "#", "0x1",
    "None", "é", " ", "-", "\t3", "١", "1f", "007", "9007199254740993", "2024-01-01 10:00:00", "1700000000000", "tensor(1)",
    'a"b', '"', "a,b", "x\ny",
)  # fmt: skip
clean = st.one_of(st.floats().map(repr), st.integers(-(10**12), 10**12).map(str), st.just(""))
dirty = st.one_of(clean, st.sampled_from(WEIRD))


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """The rows of a table: mostly clean ones, so that both paths are taken; some short, long, blank or a header again."""
    cell = clean if draw(st.booleans()) else dirty
    step = st.integers(0, 1000).map(str) if draw(st.booleans()) else cell
    ragged = draw(st.booleans())
    splits = draw(st.sampled_from((["a", "b", "", "a "], ["1", "2.5", ""])))  # a table of nothing but numbers, too
    rows: list[str] = []
    for _ in range(draw(st.integers(0, 10))):
        cells = [draw(step), draw(st.floats(1.6e9, 1.8e9).map(repr)), draw(st.sampled_from(splits))]
        cells += [draw(cell), draw(cell)]
        if draw(st.integers(0, 5)) == 0:
            cells = [f'"{c}"' for c in cells]
        shape = draw(st.integers(0, 15)) if ragged else 9
        cells = {0: cells[: draw(st.integers(1, 4))], 1: [*cells, draw(cell)], 2: [], 3: COLUMNS}.get(shape, cells)
        rows.append(",".join(cells))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    return "".join(row + end for row in rows).encode()


@settings(max_examples=150)
@given(body=bodies(), plan=st.sampled_from(PLANS))
def test_the_fast_path_gives_what_the_exact_path_gives(
    tmp_path_factory: pytest.TempPathFactory, body: bytes, plan: ColumnPlan
) -> None:
    path = tmp_path_factory.mktemp("t") / "log.csv"
    header = b"step,time,split,m0,m1\n"
    known = header_of(header)
    assert known is not None
    path.write_bytes(header + body)
    either = read_table(str(path), known, plan, "r")
    path.write_bytes(header + b"# a comment sends the chunk to the exact path\n" + body)
    exact = read_table(str(path), known, plan, "r")
    assert either.points.equals(exact.points)
    assert (either.rows, either.last_step, either.non_scalar) == (exact.rows, exact.last_step, exact.non_scalar)
    assert either.problems == [replace(p, line=(p.line or 0) - 1) for p in exact.problems]
    assert either.resume is not None
    assert exact.resume is not None
    assert (either.resume.lines, either.resume.state) == (exact.resume.lines - 1, exact.resume.state)


@settings(max_examples=100)
@given(st.integers(0, 12), st.integers(16, 200))
def test_a_table_read_in_two_parts_is_the_table_read_at_once(
    tmp_path_factory: pytest.TempPathFactory, first: int, size: int
) -> None:
    path = tmp_path_factory.mktemp("t") / "log.csv"
    rows = [f"{i},{i / 7},{'nan' if i % 5 == 0 else ''}\n" for i in range(12)]
    path.write_text("epoch,loss,acc\n" + "".join(rows[:first]))
    header = read_header(str(path))
    assert header is not None
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tables, "CHUNK_BYTES", size)
        begin = read_table(str(path), header, ColumnPlan(axis="epoch"), "r")
        path.write_text("epoch,loss,acc\n" + "".join(rows))
        rest = read_table(str(path), header, ColumnPlan(axis="epoch"), "r", begin.resume)
    whole = read_table(str(path), header, ColumnPlan(axis="epoch"), "r")
    both = pl.concat([begin.points, rest.points]).sort("metric", maintain_order=True)
    assert both.equals(whole.points.sort("metric", maintain_order=True))
    assert rest.resume == whole.resume


def table(tmp_path: Path, text: str | bytes, plan: ColumnPlan = PLANS[1]) -> TableReading:
    """A table written to a file and read."""
    path = tmp_path / "t.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    header = read_header(str(path))
    assert header is not None
    return read_table(str(path), header, plan, "r")


def values(read: TableReading, metric: str) -> list[tuple[int, float]]:
    """(step, value) of one metric, as logged."""
    return read.points.filter(pl.col("metric") == metric).select("step", "value").rows()


def test_text_for_nan_and_infinity_is_a_value_and_an_empty_cell_is_none(tmp_path: Path) -> None:
    read = table(tmp_path, "step,loss\n0,nan\n1,Infinity\n2,-inf\n3,\n4,NA\n5,0.5\n")
    assert math.isnan(values(read, "loss")[0][1])
    assert values(read, "loss")[1:] == [(1, math.inf), (2, -math.inf), (5, 0.5)]


def test_a_bom_crlf_padding_and_quotes_change_nothing(tmp_path: Path) -> None:
    read = table(tmp_path, '\ufeff   step,  "train, loss",acc\r\n  0,   0.5,"1"\r\n  1, "0.25" , 2\r\n')
    assert values(read, "train, loss") == [(0, 0.5), (1, 0.25)]
    assert values(read, "acc") == [(0, 1.0), (1, 2.0)]


def test_an_incomplete_last_line_is_read_where_certain_and_again_later(tmp_path: Path) -> None:
    read = table(tmp_path, "step,loss,acc\n0,1,2\n1,0.5,3")
    assert values(read, "acc") == [(0, 2.0), (1, 3.0)]
    assert (read.problems, read.resume) == ([], None)
    torn = table(tmp_path, "step,loss,acc\n0,1,2\n1,0.5")
    assert values(torn, "loss") == [(0, 1.0)]
    assert [(p.kind, p.line) for p in torn.problems] == [("torn", 3)]


def test_rows_with_fewer_or_more_cells_are_named_and_no_value_lands_under_another_name(tmp_path: Path) -> None:
    read = table(tmp_path, "step,loss,acc\n0,1,2\n1,7\n2,2,3,4\n3,5,6,\n4,7,8\n")
    assert values(read, "loss") == [(0, 1.0), (3, 5.0), (4, 7.0)]
    assert values(read, "acc") == [(0, 2.0), (3, 6.0), (4, 8.0)]
    assert [(p.kind, p.line, p.reason.partition(":")[0]) for p in read.problems] == [
        ("malformed", 3, "2 cells under 3 columns"),
        ("malformed", 4, "4 cells under 3 columns"),
    ]


def test_a_header_that_comes_again_in_another_order_is_in_force_from_there(tmp_path: Path) -> None:
    read = table(tmp_path, "step,loss,acc\n0,1,2\nacc,step,loss\n5,1,6\n")
    assert values(read, "loss") == [(0, 1.0), (1, 6.0)]
    assert values(read, "acc") == [(0, 2.0), (1, 5.0)]


def test_a_row_without_a_step_keeps_the_last_step_and_an_invalid_one_is_malformed(tmp_path: Path) -> None:
    read = table(tmp_path, "step,loss\n,9\n3,1\n,2\nlater,3\n4,5\n")
    assert values(read, "loss") == [(0, 9.0), (3, 1.0), (3, 2.0), (4, 5.0)]
    assert [(p.kind, p.line) for p in read.problems] == [("malformed", 5)]


def test_a_quote_that_never_closes_costs_one_line_and_not_the_rest(tmp_path: Path) -> None:
    read = table(tmp_path, "step,loss,note\n" + '0,1,"open\n' + "".join(f"{i},{i},ok\n" for i in range(1, 300)))
    assert len(values(read, "loss")) == 299
    assert [p.line for p in read.problems] == [2]


def test_quoted_cells_may_hold_separators_and_line_ends(tmp_path: Path) -> None:
    read = table(tmp_path, 'step,note,loss\n0,"a, b\nc",1\n1,x,2\n')
    assert values(read, "loss") == [(0, 1.0), (1, 2.0)]
    assert read.non_scalar == {"note": 2}


def test_text_is_counted_by_column_and_numbers_among_it_are_kept(tmp_path: Path) -> None:
    read = table(tmp_path, "step,loss\n0,True\n1,0.5\n2,[1 2]\n")
    assert values(read, "loss") == [(1, 0.5)]
    assert read.non_scalar == {"loss": 2}


def test_a_fractional_axis_is_rounded_down_and_kept_as_a_metric(tmp_path: Path) -> None:
    read = table(tmp_path, "step,loss\n0.5,1\n1.5,2\n")
    assert values(read, "loss") == [(0, 1.0), (1, 2.0)]
    assert values(read, "step") == [(0, 0.5), (1, 1.5)]


def test_a_rewritten_table_is_read_from_its_beginning(tmp_path: Path) -> None:
    read = table(tmp_path, "step,loss\n0,1\n")
    header = header_of(b"step,loss,acc\n")
    assert isinstance(read.resume, Resume)
    assert header is not None
    with pytest.raises(FormatError, match="another header"):
        read_table(str(tmp_path / "t.csv"), header, ColumnPlan(axis="step"), "r", read.resume)


def test_times_of_any_unit_and_iso_text_become_wall_times(tmp_path: Path) -> None:
    for cells in (("1700000000.25", "1700000001"), ("1700000000250", "1700000001000"), ("2023-11-14T22:13:20.25", "")):
        read = table(tmp_path, f"step,time,loss\n0,{cells[0]},1\n1,{cells[1]},2\n", PLANS[0])
        assert str(read.points["wall_time"][0]) == "2023-11-14 22:13:20.250000+00:00"


def test_duplicate_names_do_not_hide_each_other(tmp_path: Path) -> None:
    assert values(table(tmp_path, "step,loss,loss\n0,1,2\n"), "loss.2") == [(0, 2.0)]


def folder(tmp_path: Path, **files: str) -> Found:
    """Files written (``__`` is ``/``, ``_csv`` an ending) and read."""
    for name, text in files.items():
        path = tmp_path / (name.replace("__", "/").replace("_csv", ".csv").replace("_json", ".json"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return read_folder(tmp_path)


def test_a_hand_written_log_is_one_run_with_the_config_beside_it(tmp_path: Path) -> None:
    found = folder(
        tmp_path, a__log_csv="loss,iteration,lr\n1,10,0.1\n2,20,0.1\n", a__config_json='{"optim": {"lr": 0.1}}'
    )
    assert found.series("a", "loss") == ([10, 20], [1.0, 2.0])
    assert found.runs["a"].hyperparameters == {"optim": {"lr": 0.1}}


def test_columns_of_runs_and_splits_are_distinguished(tmp_path: Path) -> None:
    rows = "a,0,train,1\na,0,val,2\nb,0,train,3\nb,1,train,4\n"
    found = folder(tmp_path, all_csv=f"run_id,step,split,loss\n{rows}")
    assert set(found.runs) == {"a", "b"}
    assert found.series("b", "train/loss") == ([0, 1], [3.0, 4.0])
    assert found.series("a", "val/loss") == ([0], [2.0])


def test_files_that_are_splits_are_one_run(tmp_path: Path) -> None:
    found = folder(tmp_path, a__train_log_csv="epoch,loss\n0,1\n1,2\n", a__val_log_csv="epoch,loss\n0,3\n1,4\n")
    assert found.metrics("a") == {"train/loss", "val/loss"}


def test_a_series_from_tensorboards_download_button_has_its_tag(tmp_path: Path) -> None:
    for tag in ("val_loss", "acc"):
        (tmp_path / f"run-x-tag-{tag}.csv").write_text("Wall time,Step,Value\n1700000000.5,5,0.25\n")
    (tmp_path / "renamed.csv").write_text("Wall time,Step,Value\n1700000000.5,6,0.5\n")
    found = read_folder(tmp_path)
    assert found.series("x", "val_loss") == found.series("x", "acc") == ([5], [0.25])
    assert found.series("renamed.csv", "renamed") == ([6], [0.5])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("iris.csv", "sepal,petal,species\n1,2,setosa\n2,3,setosa\n"),
        ("payments.csv", "step,type,amount\n1,PAY,3\n1,PAY,4\n1,TRANSFER,5\n1,PAY,6\n"),
        ("people.csv", "epoch,name,town\n1,Ann,Ulm\n2,Bob,Bonn\n"),
        ("frames.csv", "frame,x,y\n1,2,3\n2,3,4\n"),
        ("shuffled.csv", "step,x\n5,1\n2,2\n9,3\n1,4\n7,5\n0,6\n"),
        ("notes.txt", "Hello, world\nthis is text, with commas\n"),
        ("numbers.csv", "1,2,3\n4,5,6\n"),
        ("one.csv", "step\n1\n2\n"),
        ("empty.csv", ""),
        ("binary.csv", "step,\0\x01\x02\n\0\0"),
    ],
)
def test_a_table_that_is_no_log_is_refused(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    found = read_folder(tmp_path)
    assert [Path(r).name for r in found.refused] == [name]
    assert not found.readings


def test_a_weak_axis_counts_where_the_file_is_named_like_a_log(tmp_path: Path) -> None:
    found = folder(tmp_path, a__train_progress_csv="episode_reward,frame\n0.5,640\n0.25,1280\n")
    assert found.series("a/train_progress.csv", "episode_reward") == (
        [640, 1280],
        [0.5, 0.25],
    )


def test_a_large_table_is_read_in_pieces_without_losing_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "CHUNK_BYTES", 1000)
    rows = "".join(f"{i},{i * 0.5},{'text' if i % 50 == 0 else i}\n" for i in range(5000))
    read = table(tmp_path, f"step,loss,note\n{rows}")
    assert values(read, "loss") == [(i, i * 0.5) for i in range(5000)]
    assert read.non_scalar == {"note": 100}


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
def test_a_compressed_table_reads_like_the_plain_one_and_a_damaged_one_is_an_error(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "a" / f"log.csv.{'gz' if pack is gzip.compress else 'zst'}"
    path.parent.mkdir()
    whole = pack(b"step,loss\n" + b"".join(f"{i},{i / 3}\n".encode() for i in range(20_000)))
    path.write_bytes(whole)
    found = read_folder(tmp_path)
    assert found.series("a", "loss")[0] == list(range(20_000))
    assert found.readings[0].resume is None
    if pack is gzip.compress:  # zstd ends without a word where a file is cut off: the last line is torn
        path.write_bytes(whole[: len(whole) * 3 // 4])
        with pytest.raises(FormatError, match="damaged"):
            read_folder(tmp_path)
