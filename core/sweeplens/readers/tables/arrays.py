"""Reads series of numbers in NumPy files: ``history.npz`` with an array for each metric, ``losses.npy`` with one."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from sweeplens.errors import FormatError, SourceLimitError
from sweeplens.frames.goals import known_goal
from sweeplens.readers.decoding.axis_names import label_of
from sweeplens.readers.decoding.npz import read_array, read_arrays
from sweeplens.readers.decoding.sidecars import config_files
from sweeplens.readers.decoding.values import PointBuffer, as_step
from sweeplens.readers.json.steps import described_by
from sweeplens.readers.protocol import Claim, Folder, Problem, Reading, Resume, RunRecord, Source
from sweeplens.safe_open import open_buffered

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

__all__ = ["NumpySeries"]

_MEMBERS = re.compile(rb"PK\x03\x04.{22}(..)..([ -~]{1,100}?)\.npy", re.DOTALL)
_MEASURE = re.compile(
    r"(?i)loss|acc(?:uracy)?(?:$|[^a-z])|reward|return|score|error|perplexity|rmse|mae|\bauc\b|\bf1\b|\blr\b"
)
_MOST = 5_000_000  # numbers of a series
_MOST_TOGETHER = 50_000_000  # numbers of all arrays of a source


class NumpySeries:
    """Series in NumPy files.

    Producer: ``numpy.savez(history=...)``, ``numpy.save("losses.npy", ...)``
    Files: ``*.npz`` whose arrays are named like metrics; ``*.npy`` that are named like metrics, all of a folder as one run; a config file beside them
    Reads: arrays of one dimension under their name, at the steps of an array of the same length that counts (``step``, ``epoch``), else at their index
    Leaves: arrays of other shapes, which are counted by name; arrays of objects, which are pickles
    """  # noqa: E501 - a line of docs/formats.md each

    name = "numpy_series"
    version = 1

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims archives with an array that is named like a metric, and files that are."""
        archives = [n for n in folder.free(".npz") if any(map(_is_metric, _members(folder.head(n))))]
        single = [n for n in folder.free(".npy") if _is_metric(PurePath(n).stem) and _is_plain(folder.head(n))]
        config = config_files(folder) if archives or single else ()
        if single:
            yield Claim((*single, *config))
        for name in archives:
            yield Claim((name, *config), is_folder=len(archives) == 1 and not single)

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads every array whole."""
        arrays, problems = _arrays(source)
        axis = next((n for n, a in arrays.items() if label_of(n) and _counts_up(a)), "")
        points, non_scalar = PointBuffer(), dict[str, int]()
        for name, values in arrays.items():
            if values.ndim != 1 or values.size > _MOST:
                non_scalar[name] = 1
            elif name != axis:
                steps = arrays[axis].tolist() if axis and arrays[axis].size == values.size else range(values.size)
                for step, value in zip(steps, values.tolist(), strict=True):
                    points.add(source.relative, name, as_step(step) or 0, value)
        records, broken = described_by(source, [RunRecord(source.relative, non_scalar=non_scalar)])
        return Reading(records, points.frame(), (*problems, *broken))


def _arrays(source: Source) -> tuple[Mapping[str, Array], list[Problem]]:
    """Returns the arrays by name; what is no array of numbers is a problem."""
    found: dict[str, Array] = {}
    problems: list[Problem] = []
    room = _MOST_TOGETHER
    for name, work in _unread(source):
        try:
            new = work()
        except FormatError as error:
            if name.endswith(".npy"):
                raise
            problems.append(Problem(name, str(error), kind="warning"))
            continue
        room -= sum(a.size for a in new.values())
        if room < 0:
            raise SourceLimitError(f"arrays of more than {_MOST_TOGETHER:,} numbers: not read")
        found |= new
    return found, problems


def _unread(source: Source) -> Iterator[tuple[str, Callable[[], dict[str, Array]]]]:
    """Yields each array as its file and the function that reads it."""
    for entry in source.files:
        path = entry.path
        if path.endswith(".npy"):
            yield path, lambda path=path: {PurePath(path).stem: read_array(path)}
        elif path.endswith(".npz"):
            for name in _names(path):
                yield path, lambda path=path, name=name: read_arrays(path, [name])


def _names(path: str) -> list[str]:
    try:
        with open_buffered(path) as stream, zipfile.ZipFile(stream) as archive:
            return [n.removesuffix(".npy") for n in archive.namelist() if n.endswith(".npy")]
    except zipfile.BadZipFile as error:
        raise FormatError(f"{path} cannot be read as arrays: {error}") from error


def _counts_up(values: Array) -> bool:
    whole = values.ndim == 1 and values.size > 1 and bool((values % 1 == 0).all())
    return whole and bool((values[1:] > values[:-1]).all())


def _members(head: bytes) -> list[str]:
    return [m[2].decode("ascii") for m in _MEMBERS.finditer(head)]


def _is_plain(head: bytes) -> bool:
    return head.startswith(b"\x93NUMPY") and b"'|O'" not in head[:256]


def _is_metric(name: str) -> bool:
    return bool(_MEASURE.search(name)) or known_goal(name) != "unknown"
