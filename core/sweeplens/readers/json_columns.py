"""Step-per-line JSON of many files at once, as columns: the way of clean files, with the same result as row by row.

A file is clean when all its rows are flat, hold numbers only, and stand at an axis of their own. That is not believed but
counted: Polars is told which keys to expect and refuses anything that is no number; and every key has two quotes, so that a
key that nobody expected, one that is written twice, or a null shows in the count. Lines that are not JSON are cut out and
reported, NaN and Infinity are carried through the parser as odd numbers, which are counted too. Whatever is left over (text,
nesting, runs that share a file, repeated nulls) is not for here: such a file is in none of the columns.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import accumulate
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

__all__ = ["Columns", "Piece", "parsed", "pieces_of"]

_NAN, _INFINITY = "7.2340172838076673e-291", "3.1415926535897931e+291"  # what stands for the words that JSON lacks
_SAMPLES = (0.0, 0.25, 0.5, 0.75)
_LOOKED_THROUGH = 1 << 20  # bytes
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
    nan: int = 0  # so many numbers stand for NaN
    infinite: int = 0

    @property
    def kind(self) -> tuple[str, frozenset[str]]:
        """Pieces of one kind are parsed together."""
        return self.axis, self.keys & _TIMES


class Columns(Struct, frozen=True):
    """Pieces of one kind as one frame: ``run`` (index of the piece), ``seq``, ``step``, perhaps ``wall_time``, and the metrics."""

    frame: pl.DataFrame
    members: list[int]  # the pieces that are in it, by their index in what was asked for
    metrics: list[str]
    firsts: list[datetime | None] = field(default_factory=list[Any])
    lasts: list[datetime | None] = field(default_factory=list[Any])
    steps: list[int] = field(default_factory=list[int])  # the last step of each member


_TIMES = frozenset(TIME_KEYS)


def pieces_of(files: Sequence[FileStat]) -> list[Piece | None]:
    """The files, as long as they were when they were seen, made ready; None for one that is not clean, or shorter now."""
    stream = io.BytesIO(bytes(sum(f.size for f in files)))
    spans: list[tuple[int, int]] = []
    begin = 0
    with stream.getbuffer() as room:
        for file in files:
            end = begin + file.size
            spans.append((begin, end) if _filled(room[begin:end], file.path) else (begin, begin))
            begin = end
    data = stream.getvalue()
    return [_cleaned(data, span, file.path) for span, file in zip(spans, files, strict=True)]


def _filled(room: memoryview, path: str) -> bool:
    try:
        with open(path, "rb", buffering=0) as stream:  # noqa: PTH123 - thousands of files
            at = 0
            while at < len(room) and (count := stream.readinto(room[at:])):
                at += count
    except OSError:
        return False  # whoever reads it alone says why
    return at == len(room)


def _cleaned(data: bytes, span: tuple[int, int], file: str) -> Piece | None:
    """The rows of the file that lies there; None where it is not clean."""
    import numpy as np

    begin, end = span
    if data.startswith(b"\xef\xbb\xbf", begin, end) or data.find(b"\r", begin, min(end, begin + 4096)) >= 0:
        return None
    chars = np.frombuffer(data, np.uint8, end - begin, begin)
    ends = np.flatnonzero(chars == 10)
    bad = _bad_lines(chars, ends)
    if bad or _has_words(data, begin, end) or not len(ends) or begin + int(ends[-1]) + 1 != end:
        return _mended(data[begin:end], ends, bad, file)
    found = _sample(data, begin, end)
    if found is None:
        return None
    quotes = int(np.count_nonzero(chars == 34))
    return Piece(memoryview(data)[begin:end], len(ends), quotes, *found, end - begin, len(ends))


def _mended(data: bytes, ends: NDArray[np.int64], bad: Sequence[int], file: str) -> Piece | None:
    """A file without the lines that are no rows, and with numbers for NaN and Infinity; None where that is not enough."""
    whole = int(ends[-1]) + 1 if len(ends) else 0
    if len(bad) > _MOST_BAD:
        return None
    text, problems = _without(data[:whole], ends, bad, file)
    tail = Lines(data[whole:], file, first_line=len(ends) + 1)
    if list(tail):
        text += data[whole:].strip() + b"\n"
    found = _sample(text, 0, len(text)) if text else None
    if found is None:
        return None
    text, nan, infinite = _carried(text)
    consumed, told = whole + tail.consumed, (*problems, *tail.problems)
    return Piece(text, text.count(b"\n"), text.count(b'"'), *found, consumed, tail.number, told, nan, infinite)


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


def _carried(text: bytes) -> tuple[bytes, int, int]:
    """NaN and Infinity as the numbers that stand for them, and how many there are of each."""
    text, nan = _exchanged(text, b"NaN", _NAN.encode(), (b"",))
    text, infinite = _exchanged(text, b"Infinity", _INFINITY.encode(), (b"", b"-"))
    return text, nan, infinite


def _exchanged(text: bytes, word: bytes, number: bytes, signs: Sequence[bytes]) -> tuple[bytes, int]:
    """The text with the number for the word, wherever it is a value; how often it was."""
    count = 0
    for before in (b":", b": ") if word in text else ():
        for sign in signs:
            count += text.count(before + sign + word)
            text = text.replace(before + sign + word, before + sign + number)
    return text, count


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


def parsed(pieces: Sequence[Piece | None]) -> list[Columns]:
    """The pieces as columns, those of one kind together. A piece that is in none of them must be read row by row."""
    kinds: dict[tuple[str, frozenset[str]], dict[int, Piece]] = {}
    for index, piece in enumerate(pieces):
        if piece is not None:
            kinds.setdefault(piece.kind, {})[index] = piece
    return [c for members in kinds.values() for c in _Kind(members, _expected(members)).columns()]


def _expected(members: Mapping[int, Piece]) -> frozenset[str]:
    """The keys of all samples, and of odd rows of the first file: what is logged once in a hundred rows, no sample meets."""
    first = bytes(next(iter(members.values())).text[:_LOOKED_THROUGH])
    return frozenset[str]().union(_keys_of(_odd_lengths(first)), *(p.keys for p in members.values()))


def _odd_lengths(text: bytes) -> list[bytes]:
    """Rows that are much longer or shorter than the first: likely those with other keys."""
    rows = text.splitlines()
    usual = len(rows[0])
    return [row for row in rows if abs(len(row) - usual) * 8 > usual]


class _Kind(Struct, frozen=True):
    """Pieces that are parsed together, by their index, and the keys that the parser is told to expect in them."""

    members: dict[int, Piece]
    names: frozenset[str]

    @property
    def pieces(self) -> list[Piece]:
        """The pieces in their order."""
        return list(self.members.values())

    @property
    def axis(self) -> str:
        """The key of the axis, which they have in common."""
        return self.pieces[0].axis

    def some(self, members: Iterable[int]) -> _Kind:
        """The same for some of the pieces."""
        return _Kind({i: self.members[i] for i in members}, self.names)

    def columns(self) -> list[Columns]:
        """Where the parser stumbles, halves are tried apart; where counts differ, only the pieces that fit stay."""
        if any(number in name for name in self.names for number in (_NAN, _INFINITY)):
            return []  # a word within a name was carried away
        schema: dict[str, Any] = {n: pl.Int64() if n == self.axis else pl.Float64() for n in sorted(self.names)}
        try:
            frame = pl.read_ndjson(_joined([p.text for p in self.pieces]), schema=schema)
        except pl.exceptions.PolarsError:
            return self._apart()
        frame = _with_runs(frame, [p.lines for p in self.pieces])
        if frame is None:
            return self._apart(1)
        values = frame.height * (frame.width - 2) - sum(frame.null_count().row(0))
        if values * 2 != sum(p.quotes for p in self.pieces) or frame[self.axis].null_count():
            return _those_that_fit(self, frame)
        frame = frame.rename({self.axis: "\0step"})
        liars = _liars(self, frame)
        if liars:
            others = [i for i in self.members if i not in liars]
            return self.some(others).columns() if others else []
        columns = _timed(_restored(self, frame), self)
        return [columns] if columns else []

    def _apart(self, size: int = 0) -> list[Columns]:
        """Some of the members at a time: so many, else one half and then the other. A single one is not for here."""
        if len(self.members) == 1:
            return []
        size, members = size or (len(self.members) + 1) // 2, list(self.members)
        parts = (members[i : i + size] for i in range(0, len(members), size))
        return [c for part in parts for c in self.some(part).columns()]


def _carrying(kind: _Kind) -> list[int]:
    """The places of the pieces in which numbers stand for NaN or Infinity."""
    return [place for place, piece in enumerate(kind.pieces) if piece.nan or piece.infinite]


def _liars(kind: _Kind, frame: pl.DataFrame) -> set[int]:
    """The members that hold the very numbers that stand for NaN and Infinity, which cannot be told apart then."""
    places = _carrying(kind)
    members, pieces = list(kind.members), kind.pieces
    value = pl.all().exclude("\0run", "\0seq", "\0step")
    rows = frame.lazy().filter(pl.col("\0run").is_in(places)).group_by("\0run", maintain_order=True)
    liars: set[int] = set()
    for number, said in ((_NAN, [p.nan for p in pieces]), (_INFINITY, [p.infinite for p in pieces])):
        if any(said):
            found = rows.agg((value.abs() == float(number)).sum()).drop("\0run").collect().sum_horizontal()
            liars |= {members[i] for i, n in zip(places, found, strict=True) if n != said[i]}
    return liars


def _restored(kind: _Kind, frame: pl.DataFrame) -> pl.DataFrame:
    """NaN and Infinity in the place of the numbers that stand for them."""
    places = _carrying(kind)
    if not places:
        return frame
    mine = pl.lit(frame["\0run"].is_in(places))
    value = pl.all().exclude("\0run", "\0seq", "\0step")
    if any(p.nan for p in kind.pieces):
        frame = frame.with_columns(pl.when(mine & (value == float(_NAN))).then(math.nan).otherwise(value).name.keep())
    if any(p.infinite for p in kind.pieces):
        infinite = mine & (value.abs() == float(_INFINITY))
        frame = frame.with_columns(pl.when(infinite).then(value.sign() * math.inf).otherwise(value).name.keep())
    return frame


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


def _those_that_fit(kind: _Kind, frame: pl.DataFrame) -> list[Columns]:
    """Parse again without the pieces whose counts differ; those once more on their own, with every key that they hold."""
    names, axis, pieces = kind.names, kind.axis, kind.pieces
    held = frame.group_by("\0run", maintain_order=True).agg(pl.col(n).count() for n in names).drop("\0run")
    counts = held.sum_horizontal().to_list() if held.width else [0] * len(pieces)
    full = (held[axis] == [p.lines for p in pieces]).to_list()
    whole = zip(kind.members, pieces, counts, full, strict=True)
    fits = [i for i, p, n, is_full in whole if is_full and 2 * n == p.quotes]
    others = [i for i in kind.members if i not in set(fits)]
    found = kind.some(fits).columns() if fits and others else []
    known = [_keys_of(bytes(kind.members[i].text).splitlines()) for i in others]
    again = frozenset[str]().union(*known)
    if others and not again <= names and not again & ROW_WORDS and next((a for a in AXES if a in again), "") == axis:
        found += _Kind({i: kind.members[i] for i in others}, names | again).columns()
    return found


def _keys_of(rows: Iterable[bytes]) -> frozenset[str]:
    keys: set[str] = set()
    for line in rows:
        keys.update(_flat_row(line) or ())
    return frozenset(keys)


def _timed(frame: pl.DataFrame, kind: _Kind) -> Columns | None:
    """Columns with the wall time found; None where a time column holds times in some rows only."""
    metrics = [c for c in frame.columns if c[0] != "\0"]
    for key in (k for k in TIME_KEYS if k in metrics):
        times = pl.col(key).is_finite() & (pl.col(key) >= 1e8)
        some, every = frame.select(times.any(), (times.all() & (pl.col(key).null_count() == 0)).alias("every")).row(0)
        if every:
            frame = frame.with_columns(_as_time(frame[key])).drop(key)
            metrics.remove(key)
            break
        if some:
            return None
    members, last = list(kind.members), [n - 1 for n in accumulate(p.lines for p in kind.pieces)]
    steps = frame["\0step"].gather(last).to_list()
    if "\0wall" not in frame.columns:
        nothing: list[datetime | None] = [None] * len(members)
        return Columns(frame, members, metrics, nothing, nothing, steps)
    walls = frame.group_by("\0run", maintain_order=True)
    table = walls.agg(pl.col("\0wall").first().alias("first"), pl.col("\0wall").max().alias("last"))
    return Columns(frame, members, metrics, table["first"].to_list(), table["last"].to_list(), steps)


def _as_time(values: pl.Series) -> pl.Series:
    """Seconds, milli-, micro- or nanoseconds as `values.as_time` tells them apart, to the microsecond.

    By numpy, which divides: Polars multiplies by the inverse, and so ends in another microsecond now and then.
    """
    import numpy as np

    seconds = values.to_numpy()
    while (seconds > 1e11).any():
        seconds = np.where(seconds > 1e11, seconds / 1000.0, seconds)
    whole = np.floor(seconds)
    micros = whole.astype(np.int64) * 1_000_000 + np.rint((seconds - whole) * 1e6).astype(np.int64)
    return pl.Series("\0wall", micros).cast(pl.Datetime("us", "UTC"))
