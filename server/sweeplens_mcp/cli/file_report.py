"""Reports on every file below the roots: its reader, the file that it repeats, its run, or why no reader accepts it.

file_reports(roots, logs)    a `FileReport` for each file, in the order of the walk
summary(reports)             a few lines about all of them
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Literal

from msgspec import Struct

from sweeplens.counting import count_of
from sweeplens.readers import all_readers
from sweeplens.readers.decoding import compression
from sweeplens.readers.decoding.delimited.cells import header_of
from sweeplens.readers.decoding.fact_names import is_facts
from sweeplens.readers.decoding.json_lines import peek
from sweeplens.readers.decoding.sidecars import CONFIG_NAMES
from sweeplens.readers.protocol import HEAD_BYTES, Claim, FileStat
from sweeplens.readers.unlogged import NAME as UNLOGGED
from sweeplens.sources.discover import RememberedWalk, discover
from sweeplens.sources.unread_formats import FORMATS, unread_format
from sweeplens.sources.walk import WalkedFolder
from sweeplens_mcp.render.cells import clean

__all__ = ["FileReport", "file_reports", "lines", "summary"]

_EXAMPLES = 3
_JSON = (".json", ".jsonl", ".ndjson", ".jsonlines")
_TABLES = (".csv", ".tsv")
_TEXTS = (".txt", ".log", ".out", ".err")
_SQLITE = b"SQLite format 3\0"
_MOST_ALIKE = 100  # files of one folder and one reason that have a line each
_DATABASE = "database without the tables of MLflow, Optuna or Trackio"
_NO_AXIS = "table without an axis that goes forward"
_NO_HEADER = "no table with a header"
_NO_STEPS = "JSON without steps or series"
_NO_JSON = "not JSON"
_TEXT = "text that is neither JSON lines nor a table of steps"
_EMPTY_EVENTS = "event file without events, or damaged at its beginning"
_REMEDIES = {
    **{f.name: f.command or f.remedy for f in FORMATS},
    _DATABASE: "export the table of metrics to CSV or Parquet, with a column of steps",
    _NO_AXIS: "a log needs a column step, epoch or iteration whose numbers go forward; rename it, or name the file history.csv. "
    'A table of results is queried as it is: query_sql, SELECT * FROM "path below the root"',
    _NO_HEADER: "write the names of the columns in the first line",
    _NO_STEPS: "write one object a line with a step and numbers, or a list of such rows",
    _NO_JSON: "check whether the file is complete",
    _TEXT: "lines that repeat `name: number` with an epoch or a step are read. The output of a job tells the end of its run if it"
    " prints the run's folder or command line, or the run's settings hold its number; query_sql reads the rest, table lines",
    _EMPTY_EVENTS: "call flush() or close() on the writer",
}


class FileReport(Struct, frozen=True):
    """One file. ``why``: the reason why no reader accepts it; ``of``: the source that it is part of."""

    path: str
    role: Literal["read", "copy", "belongs", "sign", "log", "none"]
    reader: str = ""
    of: str = ""
    why: str = ""

    @property
    def told(self) -> str:
        """What a file beside a log tells about its run."""
        return "results and facts" if is_facts(PurePath(self.path).name) else "the end"

    def line(self) -> str:
        """Returns the sentence about the file."""
        sentences = {
            "read": f"read by {self.reader}",
            "copy": f"a duplicate of {self.of}, which {self.reader} reads",
            "belongs": f"belongs to {self.of}, which {self.reader} reads",
            "sign": f"tells {self.told} of the run of {self.of}",
            "log": f"log of run {self.of}",
            "none": f"not read: {self.why}",
        }
        return f"{clean(self.path)}: {clean(sentences[self.role])}"


def file_reports(roots: Sequence[Path], logs: Mapping[str, str]) -> Iterator[FileReport]:
    """Walks the roots and returns a report of every file, by the readers' claims. ``logs``: path -> run, of printed logs in
    other folders than their runs."""
    memory = RememberedWalk()
    discovered = discover(roots, all_readers(), memory=memory)
    signs = {sign.path: source.path for source in discovered.sources for sign in source.signs}
    unlogged = {f.path: s.path for s in discovered.sources if s.reader == UNLOGGED for f in s.files}
    for top in memory.tops.values():
        for report in _of_folder(top):
            path = report.path
            if report.role == "none" and path in logs:
                yield FileReport(path, "log", of=logs[path])
            elif report.role == "none" and path in unlogged:
                yield FileReport(path, "read", UNLOGGED, unlogged[path])
            else:
                of = signs.get(path, "") if report.role == "none" else ""
                yield FileReport(path, "sign", of=of) if of else report


def summary(reports: Iterable[FileReport]) -> Iterator[str]:
    """Returns counts by reader, then the files without a reader, by reason."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    lost: dict[str, list[str]] = defaultdict(list)
    for report in reports:
        counts[report.reader][report.role] += 1
        if report.role == "none":
            lost[report.why].append(report.path)
    for reader in sorted(filter(None, counts)):
        n = counts[reader]
        yield f"  {reader}: {n['read']} read, {n['copy']} duplicates, {n['belongs']} belong to its runs"
    if n_logs := counts[""]["log"]:
        yield f"  {count_of(n_logs, 'printed log')} of runs in other folders"
    if signs := sum(count["sign"] for count in counts.values()):
        yield f"  {signs:,} tell how runs ended"
    n_lost = sum(map(len, lost.values()))
    yield f"Files without a reader: {n_lost or 'none'}"
    for why, paths in sorted(lost.items(), key=lambda item: -len(item[1])):
        more = f" and {len(paths) - _EXAMPLES} more" if len(paths) > _EXAMPLES else ""
        yield f"  {len(paths)} {why}: {', '.join(map(clean, paths[:_EXAMPLES]))}{more}"
        if remedy := _REMEDIES.get(why):
            yield f"    to read: {remedy}"


def lines(reports: Sequence[FileReport]) -> Iterator[str]:
    """Yields a line for every file; many files of a folder that are not read for the same reason share one."""
    alike = Counter((PurePath(report.path).parent, report.why) for report in reports if report.role == "none")
    summarized: set[tuple[PurePath, str]] = set()
    for report in reports:
        group = (PurePath(report.path).parent, report.why)
        if report.role != "none" or alike[group] <= _MOST_ALIKE:
            yield report.line()
        elif group not in summarized:
            summarized.add(group)
            yield clean(
                f"{group[0]}: {alike[group]:,} files, the first {PurePath(report.path).name}, not read: {report.why}"
            )


def _of_folder(folder: WalkedFolder) -> Iterator[FileReport]:
    for name, entry in folder.files.items():
        reader = folder.taken.get(name)
        yield (
            _claimed(folder.takers[name], reader, entry)
            if reader
            else FileReport(entry.path, "none", why=_reason(entry))
        )
    for name, child in folder.folders.items():
        owner = next(((r, c) for r, c in folder.claims or () if name in _owned(c)), None)
        if owner is None:
            yield from _of_folder(child)
            continue
        of = _source_path(folder, owner[1])
        for path, entry in child.tree(f"{name}/"):
            parent = (
                child if "/" not in path[len(name) + 1 :] else child.child(path[len(name) + 1 :].rpartition("/")[0])
            )
            reader = parent.taken.get(path.rsplit("/", 1)[-1]) if parent else None
            yield _claimed(folder, reader, entry) if reader else FileReport(entry.path, "belongs", owner[0], of)


def _owned(claim: Claim) -> set[str] | _EveryName:
    return _EveryName() if "*" in claim.owns else {o.split("/", 1)[0] for o in claim.owns}


class _EveryName:
    """A set that contains every name."""

    def __contains__(self, name: object) -> bool:
        return True


def _claimed(home: WalkedFolder, reader: str, entry: FileStat) -> FileReport:
    """Returns the report of a file that a claim names: the first claim on a folder is read, others are its copies."""
    first = next(((r, c) for r, c in home.claims or () if c.is_folder and c.files), None)
    for name, claim in home.claims or ():
        if name != reader:
            continue
        of = _source_path(home, claim)
        if _names(home, claim.files, entry):
            original = home.find(claim.copy_of) if claim.copy_of else None
            if original is not None:
                return FileReport(entry.path, "copy", _reader_of(home, claim.copy_of), original.path)
            if first and claim.is_folder and first[0] != name:
                return FileReport(entry.path, "copy", first[0], _source_path(home, first[1]))
            return FileReport(entry.path, "read", name, of)
        if _names(home, claim.copies, entry):
            return FileReport(entry.path, "copy", name, of)
        if _names(home, claim.belongs, entry):
            return FileReport(entry.path, "belongs", name, of)
    return FileReport(entry.path, "belongs", reader, home.path)


def _reader_of(home: WalkedFolder, path: str) -> str:
    at, _, name = path.rpartition("/")
    folder = home.child(at) if at else home
    return folder.taken.get(name, "") if folder else ""


def _names(home: WalkedFolder, names: Iterable[str], entry: FileStat) -> bool:
    return any(file is entry for n in names if (file := home.find(n)) is not None)


def _source_path(home: WalkedFolder, claim: Claim) -> str:
    """Returns the main file of a claim, or the folder if there is none."""
    main = home.find(claim.files[0]) if claim.files else None
    return main.path if main else home.path


def _reason(entry: FileStat) -> str:
    """Returns why no reader accepts a file: by its name, else by its first bytes."""
    path = PurePath(entry.path)
    suffix = PurePath(compression.plain_name(path.name)).suffix.lower()
    if not entry.size:
        return "empty"
    if path.parent.name == ".hydra" or path.name == "multirun.yaml":
        return "configuration of a Hydra job without a log"
    if known := unread_format(entry.path):
        return known.name
    if path.name in CONFIG_NAMES:
        return "configuration without a log beside it"
    if suffix not in (*_JSON, *_TABLES, *_TEXTS, ".db", ".sqlite", ".sqlite3") and "tfevents" not in path.name:
        return f"no log: *{suffix}" if suffix else "not a log by its suffix"
    return _from_content(path.name, suffix, entry)


def _from_content(name: str, suffix: str, entry: FileStat) -> str:
    try:
        head = compression.head(entry.path, HEAD_BYTES)
    except OSError as error:
        return f"cannot be opened: {error.strerror}"
    if "tfevents" in name:
        return _EMPTY_EVENTS
    if head.startswith(_SQLITE):
        return _DATABASE
    if b"\0" in head:
        return "binary"
    if suffix in _JSON:
        return _NO_STEPS if peek(head) or head.lstrip()[:1] in b"[{" else _NO_JSON
    if suffix in _TABLES:
        return _NO_AXIS if header_of(head) else _NO_HEADER
    return _TEXT
