"""A reader for an invented format, as a package of its own: copy it, and put your format in the place of this one.

A lab book is a text file that only grows:

    #labbook 1
    name baseline
    set optim.lr 0.01
    @10 loss=0.53 acc=0.71
    @20 loss=nan acc=0.80
    end failed

`claim` says which files of a folder are lab books; it looks at names first, then at the first 4 kB. `read` turns one into
a run and its points. Whatever cannot be read is a problem with its line, never an exception and never silence.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sweeplens.readers.decoding.values import PointBuffer, status_of
from sweeplens.readers.protocol import Claim, Folder, Problem, Reading, Resume, RunRecord, Source

__all__ = ["Labbook"]

MAGIC = b"#labbook "


class Labbook:
    """Lab books.

    Producer: an invented training program
    Files: ``*.labbook`` that begin with ``#labbook``
    Reads: every ``name=value`` at its step, settings, name and status
    Leaves: nothing
    """

    name = "labbook"  # unique among readers; the answers name it as the run's format
    version = 1  # raise it when the same bytes are read differently: stores then read such files anew

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Each lab book of the folder is a run; `is_folder=False`, since there may be several."""
        for name in folder.free(".labbook"):
            if folder.head(name).startswith(MAGIC):
                yield Claim((name,), is_folder=False)

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """The lines that were appended since `resume`, or all of them."""
        offset = resume.offset if resume else 0
        book = _Book(source, dict(resume.state) if resume else {})
        with Path(source.files[0].path).open("rb") as stream:
            stream.seek(offset)
            lines = stream.read().splitlines(keepends=True)
        if lines and not lines[-1].endswith(b"\n"):
            lines.pop()  # an incomplete line is read when it is complete
        before = resume.lines if resume else 0
        for number, line in enumerate(lines, start=before + 1):
            book.add(number, line.decode("utf-8", "replace").strip())
        after = Resume(offset + sum(map(len, lines)), book.state, before + len(lines))
        return Reading((book.record(),), book.points.frame(), tuple(book.problems), after)


class _Book:
    """What has been read of a lab book. ``state`` is all that a later reading needs, as JSON values."""

    def __init__(self, source: Source, state: dict[str, Any]) -> None:
        self.source = source
        self.state: dict[str, Any] = state or {"name": "", "status": "running", "settings": {}}
        self.points = PointBuffer()
        self.problems: list[Problem] = []

    def add(self, number: int, line: str) -> None:
        """Take one line."""
        word, _, rest = line.partition(" ")
        try:
            if word.startswith("@"):
                self._measured(int(word[1:]), rest.split())
            elif word == "set":
                name, _, value = rest.partition(" ")
                self.state["settings"][name] = _number(value)
            elif word == "name":
                self.state["name"] = rest
            elif word == "end":
                self.state["status"] = status_of(rest) or "finished"
            elif word and not word.startswith("#"):
                raise ValueError(f"unknown word {word!r}")
        except ValueError as error:
            self.problems.append(Problem(self.source.files[0].path, str(error), line=number, excerpt=line[:80]))

    def _measured(self, step: int, pairs: list[str]) -> None:
        for pair in pairs:
            name, _, value = pair.partition("=")
            self.points.add(self.source.relative, name, step, float(value))  # "nan" and "inf" are values

    def record(self) -> RunRecord:
        """The run as far as it is known. `source.relative` is a good id: ingest makes it unique."""
        known = self.state
        return RunRecord(
            self.source.relative, name=known["name"], status=known["status"], hyperparameters=known["settings"]
        )


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
