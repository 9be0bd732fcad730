"""Reads the console output of gradient boosting: XGBoost's ``[0]\ttrain-rmse:0.5`` and LightGBM's ``[1]\tvalid_0's l2: 0.5``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from msgspec import Struct

from sweeplens.frames.schemas import ENDED_WITH
from sweeplens.readers.decoding import compression
from sweeplens.readers.decoding.sidecars import config_files
from sweeplens.readers.decoding.values import PointBuffer, written_number
from sweeplens.readers.json.steps import described_by
from sweeplens.readers.protocol import Claim, Folder, Reading, Resume, RunRecord, Source
from sweeplens.readers.text.ending import LogEnd, log_end

__all__ = ["BoostingConsole"]

_SUFFIXES = (".log", ".txt", ".out", ".err")
_ROW = re.compile(r"^(?:\[[^\]]*\]\s)?\[(\d{1,9})\]\s+((?:\S.*?:\s?[-+.\w]+(?: \+ \S+)?\s*)+)$")
_VALUE = re.compile(r"([^\t:]+?):\s?([-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|nan|inf))(?: ?\+ ?\S+|\+\S+)?(?:\s+|$)")
_SETS = re.compile(r"^(.+?)'s (.+)$")
_MARK = re.compile(rb"^(?:\[[^\]\n]*\] )?\[\d+\][ \t]+[^\n\t:]+:\s?[-+.\d]", re.MULTILINE)
_BEST = re.compile(r"(?i)\bbest iteration(?: is)?:\s*$")  # what early stopping prints above the best round
_LEAST = 2  # rows

_Values = list[tuple[str, float]]


class _PrintedRound(Struct, frozen=True):
    """A printed round and its values."""

    step: int
    values: _Values
    is_best: bool  # printed again by early stopping


class BoostingConsole:
    """The printed evaluations of boosted trees.

    Producer: XGBoost (``verbose_eval``), LightGBM (``log_evaluation``), what builds on them
    Files: ``*.log``, ``*.txt``, ``*.out``, ``*.err`` with lines ``[<round>]``, then ``<set>-<metric>:<value>`` or ``<set>'s <metric>: <value>``; a config file beside them
    Reads: every value at its round, LightGBM's values as ``<set>/<metric>``; the mean of cross-validation
    Leaves: other lines; the deviation in cross-validation
    """  # noqa: E501 - a line of docs/formats.md each

    name = "boosting_console"
    version = 2

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims texts in which such lines count up. A log beside another reader's files is a copy of these."""
        mine = [n for n in folder.free(*_SUFFIXES) if _is_console(folder, n)]
        config = config_files(folder) if mine else ()
        if mine and folder.taken:
            yield Claim((*mine, *config))
            return
        for name in mine:
            yield Claim((name, *config), is_folder=len(mine) == 1)

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads the whole text; rounds that begin again are another training in the same file."""
        text = compression.read_plain(source.files[0].path).decode("utf-8", "replace")
        trainings = _trainings(text)
        ids = [source.relative, *(f"{source.relative}#{k}" for k in range(2, len(trainings) + 1))]
        points = PointBuffer()
        for run, rounds in zip(ids, trainings, strict=True):
            for step, values in sorted(rounds.items()):
                for name, value in values:
                    points.add(run, name, step, value)
        end = log_end(text[-4096:])
        ends = [*(LogEnd() for _ in ids[1:]), end]
        said = [{ENDED_WITH: e.words} if e.words else {} for e in ends]
        records = [RunRecord(r, status=e.status, metadata=m) for r, e, m in zip(ids, ends, said, strict=True)]
        runs, problems = described_by(source, records)
        return Reading(runs, points.frame(), problems)


def _is_console(folder: Folder, name: str) -> bool:
    head = folder.head(name)
    sample = head if _MARK.search(head) else folder.sample(name) if head.startswith(b"[") else b""
    if len(_MARK.findall(sample)) < _LEAST:
        return False
    steps = [row.step for row in _rows(sample.decode("utf-8", "replace"))]
    return len(steps) >= _LEAST and steps[1] > steps[0]


def _trainings(text: str) -> list[dict[int, _Values]]:
    """Returns the rounds of each training in a text, at least one training."""
    found: list[dict[int, _Values]] = [{}]
    last = -1
    for row in _rows(text):
        if row.is_best:  # a round of the same training: printed before, or between two that were printed
            found[-1].setdefault(row.step, row.values)
            continue
        if row.step <= last:
            found.append({})
        last = row.step
        found[-1][row.step] = row.values
    return found


def _rows(text: str) -> Iterator[_PrintedRound]:
    """Yields the rows of each line that has a round and values."""
    before = ""
    for line in text.splitlines():
        row = _ROW.match(line.rstrip()) if "[" in line[:1] else None
        found = _VALUE.findall(row[2]) if row else ()
        values = [(_named(name.strip()), value) for name, text in found if (value := written_number(text)) is not None]
        if row and values:
            yield _PrintedRound(int(row[1]), values, bool(_BEST.search(before)))
        before = line


def _named(name: str) -> str:
    of_set = _SETS.match(name)
    return f"{of_set[1]}/{of_set[2]}" if of_set else name
