"""Folders -> sources: the only directory walk, and the only place where readers are offered files.

`discover` walks (`folders.walk`: scandir and stat, nothing is opened) and offers each folder, top down, to every reader in
order; a file belongs to the first reader that claims it. With the `RememberedWalk` of an earlier discovery only folders where
something changed that claims may rest on are offered again, so that files which nobody took are not looked into twice.
Links to files are followed inside the root only; a folder is entered under its real path, so a loop ends.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from sweeplens.errors import FormatError, RootError
from sweeplens.readers.boundary import Failure, contained
from sweeplens.readers.lazy_reader import ReaderIndex
from sweeplens.readers.protocol import Claim, Problem, Reader, Source
from sweeplens.safe_open import confined
from sweeplens.sources.walk import WalkedFolder, rewalk, walk

__all__ = ["Discovery", "RememberedWalk", "assembled", "check_root", "discover", "discovering", "walk"]


class Discovery(Struct, frozen=True):
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


class RememberedWalk(Struct):
    """What a discovery leaves for the next one over the same roots."""

    tops: dict[str, WalkedFolder] = field(default_factory=dict[str, WalkedFolder])
    readers: tuple[tuple[str, int], ...] = ()
    found: Discovery | None = None
    visited: list[WalkedFolder] = field(default_factory=list[WalkedFolder])  # in the order in which they were offered


def discover(
    roots: Sequence[Path],
    readers: Iterable[Reader],
    *,
    walked: Callable[[int], None] | None = None,
    memory: RememberedWalk | None = None,
) -> Discovery:
    """Walk every root and grant claims. ``walked`` is called with the count of folders now and then.

    With ``memory`` the same `Discovery` comes back as long as nothing changed.
    """
    panel = ReaderIndex(readers)
    memory = _usable(memory or RememberedWalk(), roots, panel)
    found, memory.found = memory.found, None  # so that what a look marked that failed is visited by the next
    problems: list[Problem] = []
    if _look_again(memory, roots, problems) or found is None:
        found = _grown(memory, found, panel, problems)
    if found is None:
        for count, _ in enumerate(_granting(memory, roots, panel), 1):
            if walked and count % 500 == 0:
                walked(count)
        found = _collected(memory.visited, problems)
    memory.found = found
    return found


def discovering(roots: Sequence[Path], readers: Iterable[Reader], *, memory: RememberedWalk) -> Iterator[Source]:
    """The sources of a first discovery, each as soon as it is found; ``memory.found`` is all of it when they end."""
    panel = ReaderIndex(readers)
    _usable(memory, roots, panel)
    problems: list[Problem] = []
    _look_again(memory, roots, problems)
    seen: set[tuple[str, str]] = set()
    for folder in _granting(memory, roots, panel):
        for source in folder.granted:
            if (source.reader, source.path) not in seen:  # as in `_collected`
                seen.add((source.reader, source.path))
                yield source
    memory.found = _collected(memory.visited, problems)


def _look_again(memory: RememberedWalk, roots: Sequence[Path], problems: list[Problem]) -> bool:
    """See what is on disk now; whether it is other than before."""
    changed = False
    for root in roots:
        top = memory.tops.get(str(root))
        if top is None:
            memory.tops[str(root)] = walk(root, problems)
            changed = True
        else:
            changed |= rewalk(top, problems)
    return changed


def _grown(
    memory: RememberedWalk, before: Discovery | None, panel: ReaderIndex, problems: list[Problem]
) -> Discovery | None:
    """The discovery where names and claims are what they were, and files only grew; None where more is to be asked."""
    if before is None or not memory.visited or any(top.shared.moved for top in memory.tops.values()):
        return None
    again: dict[tuple[str, str], Source] = {}
    for folder in memory.visited:
        if folder.dirty or folder.below or folder.stale:
            was = [(s.reader, s.path) for s in folder.granted]
            if _settle(folder, panel, forced=False) or was != [(s.reader, s.path) for s in folder.granted]:
                folder.dirty = folder.below = True  # everything under it is to be offered again
                return None
            for source in folder.granted:
                again.setdefault((source.reader, source.path), source)
    sources = tuple(again.get((s.reader, s.path), s) for s in before.sources)
    return Discovery(sources, before.refused, (*problems, *(p for f in memory.visited for p in f.problems)))


def _usable(memory: RememberedWalk, roots: Sequence[Path], panel: ReaderIndex) -> RememberedWalk:
    """The memory, emptied where it is of other readers or roots."""
    signature = tuple((r.name, r.version) for r in panel.readers)
    if memory.readers != signature or memory.tops.keys() - {str(r) for r in roots}:
        memory.tops, memory.found, memory.visited = {}, None, []
    memory.readers = signature
    return memory


def _granting(memory: RememberedWalk, roots: Sequence[Path], panel: ReaderIndex) -> Iterator[WalkedFolder]:
    """Visit the folders top down, offering those that are dirty; each with what it has been granted, which then stands."""
    memory.visited = visited = list[WalkedFolder]()
    for top in (memory.tops[str(r)] for r in roots):
        top.shared.moved = False
        pending = [(top, False)]
        while pending:
            folder, forced = pending.pop()
            forced = _settle(folder, panel, forced=forced)
            visited.append(folder)
            yield folder
            if "*" in folder.owned:
                _pass_over(folder.folders.values())
                continue
            _pass_over(f for n, f in folder.folders.items() if n in folder.owned)
            pending += [(f, forced) for n, f in reversed(folder.folders.items()) if n not in folder.owned]


def assembled(memory: RememberedWalk, problems: Sequence[Problem]) -> Discovery:
    """What folders of which all is known have been granted, without a look at the disk."""
    memory.visited = visited = list[WalkedFolder]()
    for top in memory.tops.values():
        top.shared.moved = False
        pending = [top]
        while pending:
            folder = pending.pop()
            folder.granted = _sources(folder) if folder.claims else ()
            visited.append(folder)
            if "*" not in folder.owned:
                pending += [f for n, f in reversed(folder.folders.items()) if n not in folder.owned]
    return replace(_collected(visited, []), problems=tuple(problems))


def _collected(visited: Sequence[WalkedFolder], problems: list[Problem]) -> Discovery:
    """The sources of the folders in their order, and what nobody took."""
    firsts: dict[tuple[str, str], Source] = {}
    for folder in visited:
        for source in folder.granted:
            firsts.setdefault((source.reader, source.path), source)  # roots overlap: the first that holds it keeps it
    refused = [s.path for folder in visited for n, s in folder.files.items() if n not in folder.taken]
    problems += [p for folder in visited for p in folder.problems]
    return Discovery(tuple(firsts.values()), tuple(refused), tuple(problems))


def _settle(folder: WalkedFolder, panel: ReaderIndex, *, forced: bool) -> bool:
    """Bring the claims and sources of one folder up to date; whether everything under it must be offered again."""
    if folder.claims is None or folder.dirty or forced:
        before = (folder.claims, folder.owned)
        _offer(folder, panel)
        forced = forced or folder.below or before != (folder.claims, folder.owned)
        folder.granted = _sources(folder)
    elif folder.stale:
        folder.granted = _sources(folder)
    folder.dirty = folder.below = folder.stale = False
    return forced


def _pass_over(folders: Iterable[WalkedFolder]) -> None:
    """Folders that belong to a claim above: whatever they claimed themselves is void."""
    for top in folders:
        for folder in top.below_and_self():
            if folder.claims is not None:
                _release(folder)
                folder.claims, folder.granted, folder.owned, folder.problems = None, (), frozenset(), ()
            folder.dirty = folder.below = folder.stale = False


def _release(folder: WalkedFolder) -> None:
    """Give back what the claims of a folder took."""
    for _, claim in folder.claims or ():
        for home, name in _places(folder, claim):
            if home.takers.get(name) is folder:
                del home.takers[name], home.taken[name]


def _offer(folder: WalkedFolder, panel: ReaderIndex) -> None:
    """Offer one folder to every reader, as if nobody below it had taken anything yet."""
    _release(folder)
    later = _set_aside(folder)
    folder.heads.clear()
    folder.shared.claimer = folder
    claims: list[tuple[str, Claim]] = []
    owned: set[str] = set()
    problems: list[Problem] = []
    with confined((folder.root,)):
        for reader in panel.worth_asking(folder):
            for claim in _claims(reader, folder, problems):
                for home, name in _places(folder, claim):
                    if name not in home.taken:
                        home.taken[name], home.takers[name] = reader.name, folder
                owned |= {o.split("/", 1)[0] for o in claim.owns}
                claims.append((reader.name, claim))
    folder.shared.claimer = folder.plain = None
    for name, (reader_name, taker) in later.items():
        if name not in folder.taken:
            folder.taken[name], folder.takers[name] = reader_name, taker
    folder.claims, folder.owned, folder.problems = tuple(claims), frozenset(owned), tuple(problems)


def _set_aside(folder: WalkedFolder) -> dict[str, tuple[str, WalkedFolder]]:
    """Take out of ``taken`` what is gone, and what folders took whose turn comes after this one's."""
    later: dict[str, tuple[str, WalkedFolder]] = {}
    for name, taker in list(folder.takers.items()):
        before = folder.path.startswith(taker.path) and taker is not folder
        if not before or name not in folder.files:
            reader = folder.taken.pop(name)
            del folder.takers[name]
            if name in folder.files:
                later[name] = (reader, taker)
    return later


def _claims(reader: Reader, folder: WalkedFolder, problems: list[Problem]) -> Iterable[Claim]:
    """A reader's claims; whatever goes wrong while it looks is a problem of the folder and not the end of the walk."""
    found = contained(lambda: _looked(reader, folder), folder.path, f"could not be examined as {reader.name}")
    if isinstance(found, Failure):
        problems.append(found.problem)
        return ()
    return found


def _looked(reader: Reader, folder: WalkedFolder) -> tuple[Claim, ...]:
    """The claims as a reader gives them. Raises FormatError for one whose main file is not there."""
    claims = tuple(reader.claim(folder))
    for claim in claims:
        if claim.files and not claim.is_folder and folder.find(claim.files[0]) is None:
            raise FormatError(f"it claimed {claim.files[0]!r}, which is not there")
    return claims


def _places(folder: WalkedFolder, claim: Claim) -> list[tuple[WalkedFolder, str]]:
    """Where the files of a claim, its copies and what belongs to it lie, as far as their folders exist."""
    found: list[tuple[WalkedFolder, str]] = []
    for name in (*claim.files, *claim.copies, *claim.belongs):
        at, _, last = name.rpartition("/")
        home = folder.child(at) if at else folder
        if home is not None:
            found.append((home, last))
    return found


def _sources(folder: WalkedFolder) -> tuple[Source, ...]:
    """The sources that the claims of a folder make. A second reader's claim on the folder is a copy of the first."""
    granted: list[Source] = []
    winner: int | None = None
    folder.shared.claimer = folder  # whose files are named here is told when they change
    for reader, claim in folder.claims or ():
        if not claim.files:
            continue
        if claim.is_folder and winner is not None and granted[winner].reader != reader:
            granted[winner] = _with_copies(granted[winner], folder, claim)
            continue
        granted.append(_source(reader, folder, claim))
        winner = len(granted) - 1 if claim.is_folder and winner is None else winner
    folder.shared.claimer = None
    return tuple(granted)


def _source(reader: str, folder: WalkedFolder, claim: Claim) -> Source:
    files = tuple(s for s in (folder.find(n) for n in claim.files) if s is not None)
    path = folder.path if claim.is_folder else files[0].path
    return Source(reader, folder.root, path, files, tuple(os.path.join(folder.path, n) for n in claim.copies))  # noqa: PTH118


def _with_copies(winner: Source, folder: WalkedFolder, claim: Claim) -> Source:
    read = {f.path for f in winner.files}
    copies = (*winner.copies, *(os.path.join(folder.path, n) for n in (*claim.files, *claim.copies)))  # noqa: PTH118
    return replace(winner, copies=tuple(c for c in dict.fromkeys(copies) if c not in read))
