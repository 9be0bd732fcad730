"""Folders -> sources: the only directory walk, and the only place where readers are offered files.

`walk` makes a tree of `Folder`s from one pass of scandir and stat; nothing is opened. `discover` offers each folder, top
down, to every reader in order; a file belongs to the first reader that claims it. Symbolic links are followed inside the
root only, and each real folder is entered once, so a loop ends.
"""

from __future__ import annotations

import os
import stat as stat_module
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sweeplens.errors import RootError
from sweeplens.readers import compression
from sweeplens.readers.protocol import HEAD_BYTES, Claim, FileStat, Problem, Reader, Source

__all__ = ["Discovery", "Folder", "check_root", "discover", "walk"]

_SKIPPED = frozenset(
    {".git", ".hg", ".svn", "__pycache__", "node_modules", ".venv", "site-packages", ".ipynb_checkpoints"}
)
_MAX_DEPTH = 64


@dataclass(slots=True)
class Folder:
    """A folder as the walk saw it. Readers look at names first, then at heads; they never open anything else."""

    path: str  # absolute
    root: str
    parent: Folder | None
    files: dict[str, FileStat] = field(default_factory=dict[str, FileStat])
    folders: dict[str, Folder] = field(default_factory=dict[str, "Folder"])
    taken: dict[str, str] = field(default_factory=dict[str, str])  # file name -> name of the reader that has it

    @property
    def name(self) -> str:
        """The last component of the path."""
        return os.path.basename(self.path)  # noqa: PTH119 - a hundred thousand folders: Path is ten times slower

    def free(self, *suffixes: str) -> list[str]:
        """Names of files that nobody has claimed, sorted, with one of the suffixes (compressed copies included)."""
        return sorted(n for n in self.files if n not in self.taken and compression.plain_name(n).endswith(suffixes))

    def head(self, name: str) -> bytes:
        """The first 4 kB of a file of this folder, decompressed; empty when it cannot be read."""
        entry = self.find(name)
        return compression.head(entry.path, HEAD_BYTES) if entry else b""

    def find(self, relative: str) -> FileStat | None:
        """The file at a relative path with ``/``; ``..`` leads up, never above the root."""
        above, _, name = relative.rpartition("/")
        folder = self.child(above) if above else self
        return folder.files.get(name) if folder else None

    def child(self, relative: str) -> Folder | None:
        """The folder at a relative path with ``/``; ``..`` leads up, never above the root."""
        folder: Folder | None = self
        for part in relative.split("/"):
            if folder is None:
                return None
            folder = folder.parent if part == ".." else folder.folders.get(part)
        return folder

    def tree(self, prefix: str = "") -> Iterator[tuple[str, FileStat]]:
        """Every file below this folder, as (relative path with ``/``, stat)."""
        for name, entry in self.files.items():
            yield prefix + name, entry
        for name, folder in self.folders.items():
            yield from folder.tree(f"{prefix}{name}/")


@dataclass(frozen=True, slots=True)
class Discovery:
    """What a walk found: sources in a stable order, files that nobody took, folders that could not be read."""

    sources: tuple[Source, ...]
    refused: tuple[str, ...]  # absolute paths of files without a reader
    problems: tuple[Problem, ...]


def check_root(path: str | Path) -> Path:
    """The absolute folder that a root names. Raises RootError with what to do about it."""
    text = os.fspath(path)
    if "${" in text:
        raise RootError(
            f"Root {text!r} holds an unexpanded variable: this client does not expand it, write the path out."
        )
    root = Path(text).expanduser()
    absolute = root if root.is_absolute() else Path.cwd() / root
    if not absolute.exists():
        here = absolute
        while not here.exists():
            here = here.parent
        raise RootError(
            f"No folder {str(absolute)!r}. The nearest that exists is {str(here)!r}: pass --root or base_path."
        )
    if not absolute.is_dir():
        raise RootError(f"Root {str(absolute)!r} is a file: pass the folder that holds it.")
    return absolute.resolve()


def walk(root: Path, problems: list[Problem]) -> Folder:
    """The tree of folders below a root, in one pass without opening a file. Unreadable folders become problems."""
    base = str(root)
    top = Folder(path=base, root=base, parent=None)
    seen = {_identity(base)}
    stack = [(top, 0)]
    links: list[tuple[Folder, os.DirEntry[str], int]] = []
    while stack or links:
        if not stack:  # links last: a folder is known by its own name where the root has it
            home, entry, above = links.pop()
            child = _enter(home, entry, seen, problems)
            stack += [(child, above + 1)] if child is not None else []
            continue
        folder, depth = stack.pop()
        children, linked = _scan(folder, seen, problems)
        links += [(folder, entry, depth) for entry in linked]
        for child in children:
            if depth < _MAX_DEPTH:
                stack.append((child, depth + 1))
            else:
                problems.append(Problem(child.path, f"deeper than {_MAX_DEPTH} folders below the root: not entered"))
    return top


def discover(
    roots: Sequence[Path], readers: Iterable[Reader], *, walked: Callable[[int], None] | None = None
) -> Discovery:
    """Walk every root and grant claims. ``walked`` is called with the count of folders now and then."""
    table = tuple(readers)
    sources: list[Source] = []
    problems: list[Problem] = []
    visited: list[Folder] = []
    for root in roots:
        pending = [walk(root, problems)]
        count = 0
        while pending:
            folder = pending.pop()
            count += 1
            if walked and count % 500 == 0:
                walked(count)
            granted, owned = _grant(folder, table, problems)
            sources += granted
            visited.append(folder)
            if "*" in owned:
                continue
            pending += [folder.folders[n] for n in sorted(folder.folders, reverse=True) if n not in owned]
    refused = [s.path for folder in visited for n, s in folder.files.items() if n not in folder.taken]
    return Discovery(tuple(_once(sources)), tuple(refused), tuple(problems))


def _once(sources: Iterable[Source]) -> Iterator[Source]:
    """Each source once, though roots overlap: the first root that holds it keeps it."""
    seen: set[tuple[str, str]] = set()
    for source in sources:
        key = (source.reader, source.path)
        if key not in seen:
            seen.add(key)
            yield source


def _grant(folder: Folder, readers: Sequence[Reader], problems: list[Problem]) -> tuple[list[Source], set[str]]:
    """Offer one folder to every reader; the sources granted and the subfolders that they own."""
    granted: list[Source] = []
    owned: set[str] = set()
    winner: int | None = None
    for reader in readers:
        for claim in _claims(reader, folder, problems):
            _take(folder, reader.name, claim)
            owned |= {o.split("/", 1)[0] for o in claim.owns}
            if claim.is_folder and winner is not None and granted[winner].reader != reader.name:
                granted[winner] = _with_copies(granted[winner], folder, claim)
                continue
            granted.append(_source(reader.name, folder, claim))
            winner = len(granted) - 1 if claim.is_folder and winner is None else winner
    return granted, owned


def _claims(reader: Reader, folder: Folder, problems: list[Problem]) -> Iterable[Claim]:
    """A reader's claims; a file that is gone or unreadable while it looks is a problem and not the end of the walk."""
    try:
        return tuple(reader.claim(folder))
    except OSError as error:
        problems.append(Problem(folder.path, f"could not be examined as {reader.name}: {error.strerror or error}"))
        return ()


def _take(folder: Folder, reader: str, claim: Claim) -> None:
    for name in (*claim.files, *claim.copies):
        at, _, last = name.rpartition("/")
        home = folder.child(at) if at else folder
        if home is not None:
            home.taken.setdefault(last, reader)


def _source(reader: str, folder: Folder, claim: Claim) -> Source:
    files = tuple(s for s in (folder.find(n) for n in claim.files) if s is not None)
    path = folder.path if claim.is_folder else files[0].path
    return Source(reader, folder.root, path, files, tuple(os.path.join(folder.path, n) for n in claim.copies))  # noqa: PTH118


def _with_copies(winner: Source, folder: Folder, claim: Claim) -> Source:
    copies = (*winner.copies, *(os.path.join(folder.path, n) for n in (*claim.files, *claim.copies)))  # noqa: PTH118
    return Source(winner.reader, winner.root, winner.path, winner.files, tuple(dict.fromkeys(copies)))


def _scan(
    folder: Folder, seen: set[tuple[int, int] | str], problems: list[Problem]
) -> tuple[list[Folder], list[os.DirEntry[str]]]:
    """The subfolders of a folder that are new, and its links, which are not followed yet."""
    children: list[Folder] = []
    links: list[os.DirEntry[str]] = []
    try:
        with os.scandir(folder.path) as entries:
            for entry in entries:
                if entry.is_symlink():
                    links.append(entry)
                elif (child := _enter(folder, entry, seen, problems)) is not None:
                    children.append(child)
    except OSError as error:
        problems.append(Problem(folder.path, f"folder cannot be read: {error.strerror or error}"))
    return children, links


def _enter(
    folder: Folder, entry: os.DirEntry[str], seen: set[tuple[int, int] | str], problems: list[Problem]
) -> Folder | None:
    """File an entry under its folder; a subfolder that is new is returned to be entered."""
    try:
        if entry.is_symlink() and not _inside(entry.path, folder.root):
            return None
        info = entry.stat()
    except OSError as error:
        problems.append(Problem(entry.path, f"cannot be read: {error.strerror or error}", kind="warning"))
        return None
    if stat_module.S_ISREG(info.st_mode):
        folder.files[entry.name] = FileStat(entry.path, info.st_size, info.st_mtime_ns, info.st_ino)
        return None
    if not stat_module.S_ISDIR(info.st_mode) or entry.name in _SKIPPED:
        return None
    identity = (info.st_dev, info.st_ino) if info.st_ino else os.path.realpath(entry.path)
    if identity in seen:
        return None
    seen.add(identity)
    child = folder.folders[entry.name] = Folder(path=entry.path, root=folder.root, parent=folder)
    return child


def _inside(path: str, root: str) -> bool:
    real = os.path.realpath(path)
    return real == root or real.startswith(root.rstrip(os.sep) + os.sep)


def _identity(path: str) -> tuple[int, int] | str:
    info = os.stat(path)  # noqa: PTH116
    return (info.st_dev, info.st_ino) if info.st_ino else os.path.realpath(path)
