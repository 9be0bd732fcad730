"""Step-per-line JSON of many files at once, as columns: the way of clean files, with the same result as row by row.

A file is clean when all its rows are flat, hold numbers only, and stand at an axis of their own. That is not believed but
counted: Polars is told which keys to expect and refuses anything that is no number; and every key has two quotes, so that a
key that nobody expected, one that is written twice, or a null shows in the count. Lines that are not JSON are cut out and
reported, NaN and Infinity are carried through the parser as numbers that the file does not hold. Whatever is left over
(text, nesting, runs that share a file, repeated nulls) is not for here: such a file is `None` in the answer.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

import msgspec
import polars as pl
from msgspec import Struct, field

from sweeplens.readers.jsonlines import Lines, decode
from sweeplens.readers.protocol import FileStat, Problem
from sweeplens.readers.rows import AXES, ROW_WORDS, TIME_KEYS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Columns", "Piece", "cleaned", "contents", "parsed"]

_NAN = b"7.2340172838076673e-291"  # numbers that stand for what JSON lacks, in files that do not hold them
_INFINITY = b"3.1415926535897931e+291"
_SAMPLES = (0.0, 0.25, 0.5, 0.75)
_MOST_BAD = 200  # lines of one file that are looked at one by one


class Piece(Struct, frozen=True):
    """The rows of one file as text that is ready for the parser, and what was noticed on the way."""

    text: bytes | memoryview
    lines: int  # rows in the text
    quotes: int
    keys: frozenset[str]  # of some of the rows
    axis: str
    consumed: int  # bytes of the file that need not be looked at again, and the lines in them
    number: int
    problems: tuple[Problem, ...] = ()
    special: bool = False  # NaN or Infinity stand in for themselves

    @property
    def kind(self) -> tuple[str, frozenset[str], bool]:
        """Pieces of one kind are parsed together."""
        return self.axis, self.keys & _TIMES, self.special


class Columns(Struct, frozen=True):
    """Pieces of one kind as one frame: ``run`` (index of the piece), ``seq``, ``step``, perhaps ``wall_time``, and the metrics."""

    frame: pl.DataFrame
    members: list[int]  # the pieces that are in it, by their index in what was asked for
    metrics: list[str]
    firsts: list[datetime | None] = field(default_factory=list[Any])
    lasts: list[datetime | None] = field(default_factory=list[Any])
    steps: list[int] = field(default_factory=list[int])  # the last step of each member


_TIMES = frozenset(TIME_KEYS)


def contents(files: Sequence[FileStat]) -> tuple[bytes, list[tuple[int, int]]]:
    """Files as one text, as long as they were when they were seen, and where each lies; one that is shorter now is empty."""
    stream = io.BytesIO(bytes(sum(f.size for f in files)))
    spans: list[tuple[int, int]] = []
    begin = 0
    with stream.getbuffer() as room:
        for file in files:
            end = begin + file.size
            spans.append((begin, end) if _filled(room[begin:end], file.path) else (begin, begin))
            begin = end
    return stream.getvalue(), spans


def _filled(room: memoryview, path: str) -> bool:
    try:
        with open(path, "rb", buffering=0) as stream:  # noqa: PTH123 - thousands of files
            at = 0
            while at < len(room) and (count := stream.readinto(room[at:])):
                at += count
    except OSError:
        return False  # whoever reads it alone says why
    return at == len(room)


def cleaned(data: bytes, span: tuple[int, int], file: str) -> Piece | None:
    """The content of a file, which lies at a place in ``data``, made ready; None where it is not clean."""
    import numpy as np

    begin, end = span
    if data.startswith(b"\xef\xbb\xbf", begin, end) or data.find(b"\r", begin, min(end, begin + 4096)) >= 0:
        return None
    chars = np.frombuffer(data, np.uint8, end - begin, begin)
    ends = np.flatnonzero(chars == 10)
    bad = _bad_lines(chars, ends)
    special = _has_words(data, begin, end)
    if bad or special or not len(ends) or begin + int(ends[-1]) + 1 != end:
        return _mended(data[begin:end], ends, bad, special, file)
    found = _sample(data, begin, end)
    if found is None:
        return None
    quotes = int(np.count_nonzero(chars == 34))
    return Piece(memoryview(data)[begin:end], len(ends), quotes, *found, end - begin, len(ends))


def _mended(data: bytes, ends: NDArray[np.int64], bad: Sequence[int], special: bool, file: str) -> Piece | None:
    """A file without the lines that are no rows, and with numbers for NaN and Infinity; None where that is not enough."""
    whole = int(ends[-1]) + 1 if len(ends) else 0
    if len(bad) > _MOST_BAD:
        return None
    text, problems = _without(data[:whole], ends, bad, file)
    tail = Lines(data[whole:], file, first_line=len(ends) + 1)
    if list(tail):
        text += data[whole:].strip() + b"\n"
    text = _carried(text) if special else text
    found = _sample(text, 0, len(text)) if text else None
    if found is None:
        return None
    consumed, told = whole + tail.consumed, (*problems, *tail.problems)
    return Piece(text, text.count(b"\n"), text.count(b'"'), *found, consumed, tail.number, told, special)


def _bad_lines(chars: NDArray[np.uint8], ends: NDArray[np.int64]) -> list[int]:
    """The indexes of lines that do not begin and end like an object."""
    import numpy as np

    if not len(ends):
        return []
    starts = np.concatenate(([0], ends[:-1] + 1))
    good = (ends > starts + 1) & (chars[starts] == 123) & (chars[np.maximum(ends - 1, 0)] == 125)
    return np.flatnonzero(~good).tolist()


def _without(data: bytes, ends: NDArray[np.int64], bad: Sequence[int], file: str) -> tuple[bytes, list[Problem]]:
    """The lines that are objects after all stay, the others are cut out, and reported unless they are blank."""
    problems: list[Problem] = []
    kept: list[bytes] = []
    at = 0
    for index in bad:
        begin, end = int(ends[index - 1]) + 1 if index else 0, int(ends[index]) + 1
        lines = Lines(data[begin:end], file, first_line=index + 1)
        if not list(lines):
            kept.append(data[at:begin])
            at = end
        problems += lines.problems
    return (b"".join([*kept, data[at:]]) if kept else data), problems


def _has_words(data: bytes, begin: int, end: int) -> bool:
    """Whether NaN or Infinity are there; first of all their first letter, which is found faster than anything."""
    return any(
        data.find(word[:1], begin, end) >= 0 and data.find(word, begin, end) >= 0 for word in (b"NaN", b"Infinity")
    )


def _carried(text: bytes) -> bytes:
    """NaN and Infinity as the numbers that stand for them; empty where the text holds those."""
    if _NAN in text or _INFINITY in text:
        return b""
    for before in (b":", b": "):
        text = text.replace(before + b"NaN", before + _NAN)
        text = text.replace(before + b"Infinity", before + _INFINITY)
        text = text.replace(before + b"-Infinity", before + b"-" + _INFINITY)
    return text


def _sample(data: bytes, begin: int, end: int) -> tuple[frozenset[str], str] | None:
    """The keys of some rows and the axis; None where one of them is no flat row of numbers."""
    keys: set[str] = set()
    axis = ""
    places = [begin + int((end - begin) * share) for share in _SAMPLES]
    for place in (*places, end - 1):
        first = data.rfind(b"\n", begin, place) + 1 or begin
        row = _flat_row(data[first : data.find(b"\n", first, end)])
        if row is None:
            return None
        axis = axis or next((a for a in AXES if isinstance(row.get(a), int)), "")
        keys.update(row)
    best = next((a for a in AXES if a in keys), "")
    return (frozenset(keys), axis) if axis and axis == best else None


def _flat_row(line: bytes) -> dict[str, float] | None:
    try:
        row = decode(line)
    except (ValueError, msgspec.DecodeError):
        return None
    if not isinstance(row, dict):
        return None
    found = cast("dict[str, object]", row)
    if not ROW_WORDS.isdisjoint(found) or any(type(v) not in (int, float) for v in found.values()):
        return None
    return cast("dict[str, float]", found)


def parsed(pieces: Sequence[Piece]) -> list[Columns]:
    """The pieces as columns, those of one kind together. A piece that is in none of them must be read row by row."""
    kinds: dict[tuple[str, frozenset[str], bool], list[int]] = {}
    for index, piece in enumerate(pieces):
        kinds.setdefault(piece.kind, []).append(index)
    return [c for members in kinds.values() for c in _parse(pieces, members)]


def _parse(pieces: Sequence[Piece], members: list[int], keys: frozenset[str] | None = None) -> list[Columns]:
    """One kind. Where the parser stumbles, halves are tried apart; where counts differ, only the pieces that fit stay."""
    axis = pieces[members[0]].axis
    names = keys or frozenset[str]().union(*(pieces[i].keys for i in members))
    schema: dict[str, Any] = {n: pl.Int64() if n == axis else pl.Float64() for n in sorted(names)}
    try:
        frame = pl.read_ndjson(_joined([pieces[i].text for i in members]), schema=schema)
    except pl.exceptions.PolarsError:
        if len(members) == 1:
            return []
        half = len(members) // 2
        return [*_parse(pieces, members[:half], names), *_parse(pieces, members[half:], names)]
    frame = _with_runs(frame, [pieces[i].lines for i in members])
    if frame is None:
        return [c for i in members for c in (_parse(pieces, [i], names) if len(members) > 1 else [])]
    values = frame.height * (frame.width - 2) - sum(frame.null_count().row(0))
    if values * 2 != sum(pieces[i].quotes for i in members) or frame[axis].null_count():
        return _those_that_fit(pieces, members, frame, names)
    columns = _timed(frame.rename({axis: "\0step"}), members, pieces[members[0]].special)
    return [columns] if columns else []


def _joined(texts: Sequence[bytes | memoryview]) -> bytes:
    """One text after the other; where together they are the text that they were cut from, that one."""
    whole = texts[0].obj if isinstance(texts[0], memoryview) else None
    cut = all(isinstance(t, memoryview) and t.obj is whole for t in texts)
    return whole if isinstance(whole, bytes) and cut and sum(map(len, texts)) == len(whole) else b"".join(texts)


def _with_runs(frame: pl.DataFrame, lines: Sequence[int]) -> pl.DataFrame | None:
    """The frame with each row's piece and place within it; None where there are not as many rows as lines."""
    import numpy as np

    if frame.height != sum(lines):
        return None
    runs = np.repeat(np.arange(len(lines), dtype=np.uint32), lines)
    begins = np.cumsum(lines, dtype=np.uint32) - np.asarray(lines, np.uint32)
    within = np.arange(frame.height, dtype=np.uint32) - np.repeat(begins, lines)
    return frame.with_columns(pl.Series("\0run", runs).set_sorted(), pl.Series("\0seq", within))


def _those_that_fit(
    pieces: Sequence[Piece], members: list[int], frame: pl.DataFrame, names: frozenset[str]
) -> list[Columns]:
    """Parse again without the pieces whose counts differ; those once more on their own, with every key that they hold."""
    axis = pieces[members[0]].axis
    held = frame.group_by("\0run", maintain_order=True).agg(pl.col(n).count() for n in names).drop("\0run")
    counts = held.sum_horizontal().to_list() if held.width else [0] * len(members)
    full = (held[axis] == [pieces[i].lines for i in members]).to_list()
    fits = [i for i, n, whole in zip(members, counts, full, strict=True) if whole and 2 * n == pieces[i].quotes]
    others = [i for i in members if i not in set(fits)]
    found = _parse(pieces, fits, names) if fits and others else []
    known = {i: _all_keys(bytes(pieces[i].text)) for i in others}
    again = frozenset[str]().union(*known.values())
    if others and not again <= names and not again & ROW_WORDS and next((a for a in AXES if a in again), "") == axis:
        found += _parse(pieces, others, names | again)
    return found


def _all_keys(text: bytes) -> frozenset[str]:
    keys: set[str] = set()
    for line in text.splitlines():
        row = _flat_row(line)
        keys.update(row or ())
    return frozenset(keys)


def _timed(frame: pl.DataFrame, members: list[int], special: bool) -> Columns | None:
    """Columns with the wall time found; None where a time column holds times in some rows only."""
    if special:
        frame = frame.with_columns(_restored(c) for c in frame.columns if c[0] != "\0")
    metrics = [c for c in frame.columns if c[0] != "\0"]
    for key in (k for k in TIME_KEYS if k in metrics):
        times = pl.col(key).is_finite() & (pl.col(key) >= 1e8)
        some, every = frame.select(times.any(), (times.all() & (pl.col(key).null_count() == 0)).alias("every")).row(0)
        if every:
            frame = frame.with_columns(_as_time(key).alias("\0wall")).drop(key)
            metrics.remove(key)
            break
        if some:
            return None
    ends = [pl.col("\0step").last().alias("step")]
    if "\0wall" in frame.columns:
        ends += [pl.col("\0wall").first().alias("first"), pl.col("\0wall").max().alias("last")]
    table = frame.group_by("\0run", maintain_order=True).agg(ends)
    nothing: list[datetime | None] = [None] * len(members)
    firsts = table["first"].to_list() if "first" in table.columns else nothing
    lasts = table["last"].to_list() if "last" in table.columns else nothing
    return Columns(frame, members, metrics, firsts, lasts, table["step"].to_list())


def _restored(name: str) -> pl.Expr:
    value, infinite = pl.col(name), float(_INFINITY)
    return (
        pl.when(value == float(_NAN))
        .then(math.nan)
        .when(value == infinite)
        .then(math.inf)
        .when(value == -infinite)
        .then(-math.inf)
        .otherwise(value)
        .alias(name)
    )


def _as_time(key: str) -> pl.Expr:
    """Seconds, milli-, micro- or nanoseconds as `values.as_time` tells them apart, to the microsecond."""
    seconds = pl.col(key)
    for _ in range(3):
        seconds = pl.when(seconds > 1e11).then(seconds / 1000.0).otherwise(seconds)
    whole = seconds.floor()
    micros = whole.cast(pl.Int64) * 1_000_000 + ((seconds - whole) * 1e6).round(mode="half_to_even").cast(pl.Int64)
    return micros.cast(pl.Datetime("us", "UTC"))
