"""The table of formats, from the readers' own docstrings.

formats_page()                       docs/formats.md, whole
python -m sweeplens.readers.catalogue [FOLDER]   writes FOLDER/docs/formats.md; FOLDER is the current one by default
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from sweeplens.errors import FormatError
from sweeplens.readers import READERS, loaded_reader
from sweeplens.readers.protocol import Reader

__all__ = ["FormatEntry", "entry_of", "formats_page"]

_FIELDS = ("Producer", "Files", "Reads", "Leaves")
_FIELD = re.compile(rf"^({'|'.join(_FIELDS)}):[ \t]*(.*(?:\n[ \t]+.*)*)", re.MULTILINE)

_PAGE = """# Formats

Written by `python -m sweeplens.readers.catalogue` from the readers themselves: {count} formats, in the order in which they are
offered a folder. A file belongs to the first reader that claims it; where several readers claim a folder as one run, the first
is read and the files of the others are named as copies. `sweeplens doctor --files` says of every file who took it, or why nobody.

Nothing is converted, imported, unpickled or executed, nothing is written beside your files, and a file is recognised by what it
holds. Your own format: a package with an entry point in the group `sweeplens.readers`, as in `examples/third_party_reader`.

| format | written by | files | what is read | what is left |
|---|---|---|---|---|
{rows}
"""


class FormatEntry(Struct, frozen=True):
    """What a reader says of itself."""

    name: str
    producer: str
    files: str
    reads: str
    leaves: str


def entry_of(reader: Reader) -> FormatEntry:
    """The lines ``Producer:``, ``Files:``, ``Reads:``, ``Leaves:`` of a reader's docstring. Raises FormatError without them."""
    kind = type(loaded_reader(reader))
    text = inspect.getdoc(kind) or ""
    said = {field: " ".join(rest.split()) for field, rest in _FIELD.findall(text)}
    missing = [field for field in _FIELDS if not said.get(field)]
    if missing:
        raise FormatError(
            f"The docstring of {kind.__name__} has no line {missing[0] + ':'!r}: protocol.Reader says which."
        )
    return FormatEntry(reader.name, *(said[field] for field in _FIELDS))


def formats_page(readers: Iterable[Reader] = READERS) -> str:
    """The page as Markdown."""
    entries = [entry_of(r) for r in readers]
    return _PAGE.format(count=len(entries), rows="\n".join(map(_row, entries)))


def _row(entry: FormatEntry) -> str:
    cells = (f"`{entry.name}`", entry.producer, entry.files, entry.reads, entry.leaves)
    return f"| {' | '.join(_cell(c) for c in cells)} |"


def _cell(text: str) -> str:
    return text.replace("``", "`").replace("|", r"\|")


def main(folder: Path) -> None:
    """Write the page below a folder."""
    page = folder / "docs" / "formats.md"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(formats_page(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
