"""Walks folders into a tree of `WalkedFolder`, and updates that tree later.

`walk` makes the tree in one pass of scandir and stat; no file is opened. `rewalk` updates a tree in place and marks
folders by the effect of each change:

dirty   must be offered to the readers again: names appeared or vanished in it, below it, or in a folder that its claims
        examined; the head of a file that its claims read changed; a small file that its claims may depend on changed; or
        a sampled file changed that no reader has, or became shorter
below   everything below must be offered again too
stale   its claims hold, but a file that they name has another size or time
"""

from __future__ import annotations

import os
import stat as stat_module
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from msgspec import Struct, field

from sweeplens.cancellation import checkpoint
from sweeplens.readers.boundary import is_system_error
from sweeplens.readers.decoding import compression
from sweeplens.readers.protocol import HEAD_BYTES, LONG_HEAD_BYTES, SAMPLE_BYTES, Claim, FileStat, Problem, Source
from sweeplens.safe_open import OpenFolder, check_room, confined

__all__ = ["WalkLimit", "WalkState", "WalkedFolder", "rewalk", "walk"]

_MAX_CACHED_HEADS, _MAX_LONG_HEADS = 4096, 32
_MAX_DEPTH = 64
_MAX_NANOSECONDS = (1 << 63) - 1
_SKIPPED = frozenset(
    {".git", ".hg", ".svn", "__pycache__", "node_modules", ".venv", "site-packages", ".ipynb_checkpoints"}
)


class WalkState(Struct, eq=False):
    """State shared by the folders of one root: the folder being offered, requested names, heads that were read, and changes."""

    claimer: WalkedFolder | None = None
    asked: set[str] = field(default_factory=set[str])
    heads: dict[str, tuple[FileStat, bytes, int]] = field(default_factory=dict[str, tuple[FileStat, bytes, int]])
    long_heads: dict[str, tuple[FileStat, bytes, int]] = field(default_factory=dict[str, tuple[FileStat, bytes, int]])
    names_changed: bool = True  # whether names appeared or vanished since the last claims

    def head(self, entry: FileStat) -> tuple[bytes, int]:
        """Returns the first bytes of a file and their checksum, cached while the file is unchanged."""
        kept = self.heads.get(entry.path) or self.long_heads.get(entry.path)
        if kept and kept[0] == entry:
            return kept[1], kept[2]
        data = compression.head(entry.path, HEAD_BYTES)
        if len(data) >= HEAD_BYTES and _is_cut_object(data):
            data = compression.first_line(entry.path, HEAD_BYTES, LONG_HEAD_BYTES)
        self.heads.pop(entry.path, None)
        self.long_heads.pop(entry.path, None)
        is_long = len(data) > HEAD_BYTES
        cache, most = (self.long_heads, _MAX_LONG_HEADS) if is_long else (self.heads, _MAX_CACHED_HEADS)
        if len(cache) >= most:
            cache.pop(next(iter(cache)))
        cache[entry.path] = (entry, data, zlib.crc32(data))
        return data, cache[entry.path][2]


def _is_cut_object(head: bytes) -> bool:
    """Whether a head is the beginning of a longer first line of JSON: a configuration may take many kilobytes."""
    return head.removeprefix(b"\xef\xbb\xbf").startswith((b"{", b"[")) and b"\n" not in head


class WalkedFolder(Struct, eq=False):
    """A folder as the walk found it. To claim, readers examine names first, then heads; they open nothing else."""

    path: str  # absolute
    root: str
    parent: WalkedFolder | None
    files: dict[str, FileStat] = field(default_factory=dict[str, FileStat])
    folders: dict[str, WalkedFolder] = field(default_factory=dict[str, "WalkedFolder"])
    taken: dict[str, str] = field(default_factory=dict[str, str])  # file name -> name of the reader that has it
    shared: WalkState = field(default_factory=WalkState)
    takers: dict[str, WalkedFolder] = field(
        default_factory=dict[str, "WalkedFolder"]
    )  # file name -> folder whose claim took it
    claims: tuple[tuple[str, Claim], ...] | None = None  # None: not offered yet
    owned: frozenset[str] = frozenset()
    granted: tuple[Source, ...] = ()
    problems: tuple[Problem, ...] = ()
    heads: dict[str, int] = field(default_factory=dict[str, int])  # path -> checksum of the head that a claim read
    samples: set[str] = field(default_factory=set[str])  # paths of files of which a claim took a sample
    dependents: set[WalkedFolder] = field(
        default_factory=set["WalkedFolder"]
    )  # other folders whose claims read files of this one
    dirty: bool = True
    below: bool = False
    stale: bool = False
    plain: tuple[tuple[str, str], ...] | None = None  # (name, plain name) in order, while the folder is offered

    @property
    def name(self) -> str:
        """Returns the last component of the path."""
        return os.path.basename(self.path)  # noqa: PTH119 - a hundred thousand folders: Path is ten times slower

    def free(self, *suffixes: str) -> list[str]:
        """Returns the sorted names of unclaimed files with one of the suffixes (compressed copies included)."""
        if self.plain is None:
            self.plain = tuple((n, compression.plain_name(n)) for n in sorted(self.files))
        return [n for n, plain in self.plain if plain.endswith(suffixes) and n not in self.taken]

    def head(self, name: str) -> bytes:
        """Returns the first 4 kB of a file of this folder, decompressed; empty if it cannot be read.

        Where the first line is longer and JSON, that line too, up to 256 kB, and the 4 kB after it; 64 kB of an even longer one.
        """
        entry = self.find(name)
        if entry is None:
            return b""
        data, checksum = self.shared.head(entry)
        (self.shared.claimer or self).heads[entry.path] = checksum
        return data

    def sample(self, name: str) -> bytes:
        """Pieces of a file of this folder, decompressed, at most 64 kB; empty when it cannot be read."""
        entry = self.find(name)
        if entry is None:
            return b""
        (self.shared.claimer or self).samples.add(entry.path)
        return compression.sample(entry.path, SAMPLE_BYTES)

    def find(self, relative: str) -> FileStat | None:
        """Returns the file at a relative path with ``/``; ``..`` goes up, but never above the root."""
        above, _, name = relative.rpartition("/")
        folder = self.child(above) if above else self
        self.shared.asked.add(name)
        if folder is None:
            return None
        folder.add_dependent(self.shared.claimer)
        return folder.files.get(name)

    def child(self, relative: str) -> WalkedFolder | None:
        """Returns the folder at a relative path with ``/``; ``..`` goes up, but never above the root."""
        folder: WalkedFolder | None = self
        for part in relative.split("/"):
            if folder is None:
                return None
            if part == "..":
                folder = folder.parent
            else:
                self.shared.asked.add(part)
                folder = folder.folders.get(part)
        if folder is not None and ".." in relative:
            folder.add_dependent(self.shared.claimer)
        return folder

    def add_dependent(self, claimer: WalkedFolder | None) -> None:
        """Records that a claim of another folder examined this one."""
        if claimer is not None and claimer is not self:
            self.dependents.add(claimer)

    def tree(self, prefix: str = "") -> Iterator[tuple[str, FileStat]]:
        """Yields every file below this folder, as (relative path with ``/``, stat)."""
        for name, entry in self.files.items():
            yield prefix + name, entry
        for name, folder in self.folders.items():
            yield from folder.tree(f"{prefix}{name}/")

    def below_and_self(self) -> Iterator[WalkedFolder]:
        """Yields this folder and every folder below it."""
        yield self
        for folder in self.folders.values():
            yield from folder.below_and_self()


class WalkLimit(Struct):
    """How much a walk may still find: files, and until when (`time.monotonic`). ``cut``: whether it ended early."""

    files: int
    until: float
    cut: bool = False

    def reached(self, folder: WalkedFolder) -> bool:
        """Counts the files of a folder. Returns whether the walk must not go on below it. Raises what `checkpoint` raises."""
        checkpoint()
        self.files -= len(folder.files)
        full = self.files <= 0 or time.monotonic() > self.until
        self.cut |= full and bool(folder.folders)
        return full


def walk(root: Path, problems: list[Problem], limit: WalkLimit | None = None) -> WalkedFolder:
    """Returns the tree of folders below a root, made in one pass without opening a file. Unreadable folders become problems."""
    top = WalkedFolder(path=str(root), root=str(root), parent=None)
    rewalk(top, problems, limit)
    return top


def rewalk(top: WalkedFolder, problems: list[Problem], limit: WalkLimit | None = None) -> bool:
    """Updates a tree and marks changes. Returns whether anything changed."""
    with confined((top.root,)):
        return _Walk(problems, limit).scan_tree(top, None, 0)


class _Walk:
    """One pass over a tree. A folder stays open while its subfolders are scanned, so that no path can be redirected meanwhile."""

    def __init__(self, problems: list[Problem], limit: WalkLimit | None = None) -> None:
        self._problems = problems
        self._limit = limit

    def scan_tree(self, folder: WalkedFolder, parent: OpenFolder | None, depth: int) -> bool:
        """Scans a folder and everything below it. Returns whether anything changed."""
        try:
            opened = OpenFolder(folder.path, parent)
        except OSError as error:
            self._problems.append(Problem(folder.path, f"folder cannot be read: {error.strerror or error}"))
            return _changed(folder, {}, [], [])
        try:
            changed = _scan(folder, opened, self._problems)
            if self._limit is not None and self._limit.reached(folder):
                return changed
            if depth < _MAX_DEPTH:
                for child in folder.folders.values():
                    changed |= self.scan_tree(child, opened, depth + 1)
            else:
                self._problems += [_too_deep(f) for f in folder.folders.values()]
            return changed
        finally:
            opened.close()


def _too_deep(folder: WalkedFolder) -> Problem:
    return Problem(folder.path, f"deeper than {_MAX_DEPTH} folders below the root: not entered")


def _scan(folder: WalkedFolder, opened: OpenFolder, problems: list[Problem]) -> bool:
    """Scans one folder. Returns whether it changed."""
    files: dict[str, FileStat] = {}
    folders: list[str] = []
    known = folder.files
    grown: list[tuple[FileStat, FileStat]] = []
    try:
        with opened.scan() as entries:
            for entry in entries:
                name = entry.name
                old = known.get(name)
                found = old if old is not None and _is_same(entry, old) else _entry(folder, entry, old, problems)
                if found is None:
                    continue
                if found is True:
                    folders.append(name)
                    continue
                files[name] = found
                if old is not None and old is not found:
                    grown.append((old, found))
    except OSError as error:
        check_room(error)
        if is_system_error(error):
            raise
        problems.append(Problem(folder.path, f"folder cannot be read: {error.strerror or error}"))
    return _changed(folder, files, folders, grown)


def _changed(
    folder: WalkedFolder, files: dict[str, FileStat], folders: list[str], grown: list[tuple[FileStat, FileStat]]
) -> bool:
    """Applies the result of a scan to a folder. Returns whether it changed."""
    known = folder.files
    if not grown and len(files) == len(known) and files == known and folder.folders.keys() == set(folders):
        return False
    renamed = files.keys() ^ known.keys() | folder.folders.keys() ^ set(folders)
    folder.files, folder.plain = files, None
    if renamed:
        _restructure(folder, folders, renamed)
    for old, new in grown:
        _apply_file_change(folder, old, new)
    return True


def _is_same(entry: os.DirEntry[str], old: FileStat) -> bool:
    """Whether a file is unchanged, with a single stat; this is the usual case."""
    try:
        info = entry.stat(follow_symlinks=False)
    except OSError:
        return False
    return (
        stat_module.S_ISREG(info.st_mode)  # a walk that was read from a store is not trusted
        and info.st_mtime_ns == old.mtime_ns
        and info.st_size == old.size
        and info.st_ctime_ns == old.changed_ns
        and info.st_ino == old.inode
    )


def _entry(
    folder: WalkedFolder, entry: os.DirEntry[str], old: FileStat | None, problems: list[Problem]
) -> FileStat | Literal[True] | None:
    """Returns the stat of a file (the same object if unchanged), True for a folder to enter, None for anything else."""
    path = os.path.join(folder.path, entry.name)  # noqa: PTH118
    try:
        link = entry.is_symlink()
        if not link and entry.is_dir(follow_symlinks=False):
            return True if entry.name not in _SKIPPED else None
        if link and (entry.is_dir() or not _inside(path, folder.root)):
            return None  # a folder inside the root is entered under its real path; one outside never is
        info = entry.stat()
    except OSError as error:
        kind = "warning" if _is_link(entry) else "malformed"  # links that lead nowhere are usual
        problems.append(Problem(path, f"cannot be read: {error.strerror or error}", kind=kind))
        return None
    if not stat_module.S_ISREG(info.st_mode):
        return None
    new = (info.st_size, _bounded(info.st_mtime_ns), info.st_ino, _bounded(info.st_ctime_ns))
    if old is not None and (old.size, old.mtime_ns, old.inode, old.changed_ns) == new:
        return old
    return FileStat(path, *new)


def _is_link(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_symlink()
    except OSError:  # some file systems say what an entry is only in a folder that may be entered
        return False


def _bounded(time_ns: int) -> int:
    """Returns a time limited to 64 bits of nanoseconds: some file systems allow later years."""
    return max(-_MAX_NANOSECONDS, min(_MAX_NANOSECONDS, time_ns))


def _restructure(folder: WalkedFolder, names: list[str], renamed: set[str]) -> None:
    """Applies new or vanished names: updates subfolders, and marks every folder whose claims may depend on them."""
    folder.shared.names_changed = True
    folder.folders = {
        n: folder.folders.get(n)
        or WalkedFolder(path=os.path.join(folder.path, n), root=folder.root, parent=folder, shared=folder.shared)  # noqa: PTH118
        for n in sorted(names)
    }
    folder.below |= not renamed.isdisjoint(folder.shared.asked)
    for other in folder.dependents:
        other.dirty = True
    above: WalkedFolder | None = folder
    while above is not None:
        above.dirty = True
        above = above.parent


def _apply_file_change(folder: WalkedFolder, old: FileStat, new: FileStat) -> None:
    """Applies a changed size or time: sources that name the file are stale, and claims that read its head may change."""
    small = min(old.size, new.size) < HEAD_BYTES
    crc: int | None = None
    for claimer in (folder, *folder.dependents):
        claimer.stale = True
        before = claimer.heads.get(new.path)
        if before is not None:
            crc = folder.shared.head(new)[1] if crc is None else crc
            claimer.dirty |= crc != before
        unclaimed = os.path.basename(new.path) not in folder.taken  # noqa: PTH119 - as in `name`
        claimer.dirty |= small or (new.path in claimer.samples and (unclaimed or new.size < old.size))


def _inside(path: str, root: str) -> bool:
    real = os.path.realpath(path)
    return real == root or real.startswith(root.rstrip(os.sep) + os.sep)
