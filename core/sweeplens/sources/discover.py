"""Finds sources in folders: the only module that walks folders and offers files to readers.

`discover` walks (see `walk`: scandir and stat, no file is opened) and offers each folder, top down, to every reader in
order; a file belongs to the first reader that claims it. With the `RememberedWalk` of an earlier discovery, only folders
with changes that could affect claims are offered again, so files without a reader are not examined twice.
Links to files are followed only inside the root. A folder is entered under its real path, so a loop ends.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from sweeplens.errors import FormatError
from sweeplens.readers.boundary import Failure, guarded
from sweeplens.readers.lazy_reader import ReaderIndex
from sweeplens.readers.protocol import Claim, Problem, Reader, Source
from sweeplens.readers.unlogged import NAME as UNLOGGED
from sweeplens.safe_open import confined
from sweeplens.sources.signs import signs_of
from sweeplens.sources.unlogged_runs import unlogged_runs
from sweeplens.sources.walk import WalkedFolder, rewalk, walk

__all__ = ["Discovery", "RememberedWalk", "assembled", "discover", "discovering", "walk"]


class Discovery(Struct, frozen=True):
    """The result of a walk: sources in a stable order, files without a reader, and problems with folders."""

    sources: tuple[Source, ...]
    refused: tuple[str, ...]  # absolute paths of files without a reader
    problems: tuple[Problem, ...]


class RememberedWalk(Struct):
    """The state that a discovery leaves for the next one over the same roots."""

    tops: dict[str, WalkedFolder] = field(default_factory=dict[str, WalkedFolder])
    readers: tuple[tuple[str, int], ...] = ()
    found: Discovery | None = None
    visited: list[WalkedFolder] = field(default_factory=list[WalkedFolder])  # in the order of the offers


def discover(
    roots: Sequence[Path],
    readers: Iterable[Reader],
    *,
    walked: Callable[[int], None] | None = None,
    memory: RememberedWalk | None = None,
) -> Discovery:
    """Walks every root and grants claims. ``walked`` is called with the count of folders every 500 folders.

    With ``memory``, the same `Discovery` object is returned as long as nothing changed.
    """
    index = ReaderIndex(readers)
    memory = _valid_memory(memory or RememberedWalk(), roots, index)
    found, memory.found = memory.found, None  # after a failure, the next discovery visits what this one marked
    problems: list[Problem] = []
    if _walk_roots(memory, roots, problems) or found is None:
        found = _refresh_grown(memory, found, index, problems)
    if found is None:
        for count, _ in enumerate(_visit(memory, roots, index), 1):
            if walked and count % 500 == 0:
                walked(count)
        found = _collected(memory.visited, problems)
    memory.found = found
    return found


def discovering(roots: Sequence[Path], readers: Iterable[Reader], *, memory: RememberedWalk) -> Iterator[Source]:
    """Yields the sources of a first discovery as they are found. Then ``memory.found`` is the whole discovery, in which
    sources may have more copies than when they were yielded."""
    index = ReaderIndex(readers)
    _valid_memory(memory, roots, index)
    problems: list[Problem] = []
    _walk_roots(memory, roots, problems)
    seen: set[tuple[str, str]] = set()
    for folder in _visit(memory, roots, index):
        for source in folder.granted:
            if (source.reader, source.path) not in seen and not source.copy_of:  # as in `_collected`
                seen.add((source.reader, source.path))
                yield source
    memory.found = _collected(memory.visited, problems)
    yield from (s for s in memory.found.sources if (s.reader, s.path) not in seen)


def _walk_roots(memory: RememberedWalk, roots: Sequence[Path], problems: list[Problem]) -> bool:
    """Walks all roots again. Returns whether anything changed."""
    changed = False
    for root in roots:
        top = memory.tops.get(str(root))
        if top is None:
            memory.tops[str(root)] = walk(root, problems)
            changed = True
        else:
            changed |= rewalk(top, problems)
    return changed


def _refresh_grown(
    memory: RememberedWalk, before: Discovery | None, index: ReaderIndex, problems: list[Problem]
) -> Discovery | None:
    """Returns the updated discovery if names and claims are unchanged; None if folders must be offered again."""
    if before is None or not memory.visited or any(top.shared.names_changed for top in memory.tops.values()):
        return None
    updated: dict[tuple[str, str], Source] = {}
    for folder in memory.visited:
        if folder.dirty or folder.below or folder.stale:
            before_keys = [(s.reader, s.path) for s in folder.granted]
            if _update_claims(folder, index, forced=False) or before_keys != [
                (s.reader, s.path) for s in folder.granted
            ]:
                folder.dirty = folder.below = True  # everything below is offered again
                return None
            for source in folder.granted:
                updated.setdefault((source.reader, source.path), source)
    unlogged = {(s.reader, s.path): s for s in unlogged_runs(memory.visited)}
    if unlogged.keys() != {(s.reader, s.path) for s in before.sources if s.reader == UNLOGGED}:
        return _collected(memory.visited, problems)
    updated |= unlogged
    sources = tuple(_updated(s, updated.get((s.reader, s.path))) for s in before.sources)
    return Discovery(sources, before.refused, (*problems, *(p for f in memory.visited for p in f.problems)))


def _updated(before: Source, new: Source | None) -> Source:
    """A source after a change that left all claims as they were: it keeps its copies in other folders."""
    if new is None:
        return before
    return replace(new, copies=tuple(dict.fromkeys((*new.copies, *before.copies))))


def _valid_memory(memory: RememberedWalk, roots: Sequence[Path], index: ReaderIndex) -> RememberedWalk:
    """Returns the memory, emptied if it belongs to other readers or roots."""
    signature = tuple((r.name, r.version) for r in index.readers)
    if memory.readers != signature or memory.tops.keys() - {str(r) for r in roots}:
        memory.tops, memory.found, memory.visited = {}, None, []
    memory.readers = signature
    return memory


def _visit(memory: RememberedWalk, roots: Sequence[Path], index: ReaderIndex) -> Iterator[WalkedFolder]:
    """Visits the folders top down, offers those that are dirty, and yields each with its final claims."""
    memory.visited = visited = list[WalkedFolder]()
    for top in (memory.tops[str(r)] for r in roots):
        top.shared.names_changed = False
        pending = [(top, False)]
        while pending:
            folder, forced = pending.pop()
            forced = _update_claims(folder, index, forced=forced)
            visited.append(folder)
            yield folder
            if "*" in folder.owned:
                _release_below(folder.folders.values())
                continue
            _release_below(f for n, f in folder.folders.items() if n in folder.owned)
            pending += [(f, forced) for n, f in reversed(folder.folders.items()) if n not in folder.owned]


def assembled(memory: RememberedWalk, problems: Sequence[Problem]) -> Discovery:
    """Returns the discovery from remembered folders, without access to the disk."""
    memory.visited = visited = list[WalkedFolder]()
    for top in memory.tops.values():
        top.shared.names_changed = False
        pending = [top]
        while pending:
            folder = pending.pop()
            folder.granted = _sources(folder) if folder.claims else ()
            visited.append(folder)
            if "*" not in folder.owned:
                pending += [f for n, f in reversed(folder.folders.items()) if n not in folder.owned]
    return replace(_collected(visited, []), problems=tuple(problems))


def _collected(visited: Sequence[WalkedFolder], problems: list[Problem]) -> Discovery:
    """Collects the sources of the folders in order, and the files without a reader."""
    firsts: dict[tuple[str, str], Source] = {}
    for folder in visited:
        for source in folder.granted:
            firsts.setdefault((source.reader, source.path), source)  # where roots overlap, the first one keeps it
    for source in unlogged_runs(visited):
        firsts.setdefault((source.reader, source.path), source)
    signs = {sign.path for source in firsts.values() for sign in source.signs}
    signs |= {file.path for source in firsts.values() if source.reader == UNLOGGED for file in source.files}
    refused = [
        s.path for folder in visited for n, s in folder.files.items() if n not in folder.taken and s.path not in signs
    ]
    problems += [p for folder in visited for p in folder.problems]
    return Discovery(_without_copies(firsts), tuple(refused), tuple(problems))


def _without_copies(sources: Mapping[tuple[str, str], Source]) -> tuple[Source, ...]:
    """The sources, where those that repeat a file of another folder are named as copies of its source."""
    if not any(s.copy_of for s in sources.values()):
        return tuple(sources.values())
    homes = {c: key for key, s in sources.items() for c in (*s.copies, *(f.path for f in s.files))}
    copy_of: dict[tuple[str, str], tuple[str, str]] = {}
    for key, source in sources.items():
        home = homes.get(source.copy_of) if source.copy_of else None
        while home in copy_of:
            home = copy_of[home]
        if home is not None and home != key:  # of two that name each other, the first is the copy
            copy_of[key] = home
    copies: dict[tuple[str, str], list[str]] = {}
    for key, home in copy_of.items():
        copies.setdefault(home, []).append(sources[key].files[0].path)
    return tuple(
        replace(s, copies=tuple(dict.fromkeys((*s.copies, *copies[key])))) if key in copies else s
        for key, s in sources.items()
        if key not in copy_of
    )


def _update_claims(folder: WalkedFolder, index: ReaderIndex, *, forced: bool) -> bool:
    """Updates the claims and sources of one folder. Returns whether everything below must be offered again."""
    if folder.claims is None or folder.dirty or forced:
        before = (folder.claims, folder.owned)
        _offer(folder, index)
        forced = forced or folder.below or before != (folder.claims, folder.owned)
        folder.granted = _sources(folder)
    elif folder.stale:
        folder.granted = _sources(folder)
    folder.dirty = folder.below = folder.stale = False
    return forced


def _release_below(folders: Iterable[WalkedFolder]) -> None:
    """Releases the claims of folders that belong to a claim above them."""
    for top in folders:
        for folder in top.below_and_self():
            if folder.claims is not None:
                _release(folder)
                folder.claims, folder.granted, folder.owned, folder.problems = None, (), frozenset(), ()
            folder.dirty = folder.below = folder.stale = False


def _release(folder: WalkedFolder) -> None:
    """Releases the files that the claims of a folder took."""
    for _, claim in folder.claims or ():
        for home, name in _claimed_files(folder, claim):
            if home.takers.get(name) is folder:
                del home.takers[name], home.taken[name]


def _offer(folder: WalkedFolder, index: ReaderIndex) -> None:
    """Offers one folder to every reader, as if no folder below had claimed anything yet."""
    _release(folder)
    later = _take_out_later(folder)
    folder.heads.clear()
    folder.samples.clear()
    folder.shared.claimer = folder
    claims: list[tuple[str, Claim]] = []
    owned: set[str] = set()
    problems: list[Problem] = []
    with confined((folder.root,)):
        for reader in index.candidates(folder):
            for claim in _claims(reader, folder, problems):
                for home, name in _claimed_files(folder, claim):
                    if name not in home.taken:
                        home.taken[name], home.takers[name] = reader.name, folder
                owned |= {o.split("/", 1)[0] for o in claim.owns}
                claims.append((reader.name, claim))
    folder.shared.claimer = folder.plain = None
    for name, (reader_name, taker) in later.items():
        if name not in folder.taken:
            folder.taken[name], folder.takers[name] = reader_name, taker
    folder.claims, folder.owned, folder.problems = tuple(claims), frozenset(owned), tuple(problems)


def _take_out_later(folder: WalkedFolder) -> dict[str, tuple[str, WalkedFolder]]:
    """Removes from ``taken`` the files that are gone, and returns those that later folders took."""
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
    """Returns a reader's claims. Any error becomes a problem of the folder, and the walk continues."""
    found = guarded(lambda: _checked_claims(reader, folder), folder.path, f"could not be examined as {reader.name}")
    if isinstance(found, Failure):
        problems.append(found.problem)
        return ()
    return found


def _checked_claims(reader: Reader, folder: WalkedFolder) -> tuple[Claim, ...]:
    """Returns the claims of a reader. Raises FormatError if the main file of a claim does not exist."""
    claims = tuple(reader.claim(folder))
    for claim in claims:
        if claim.files and not claim.is_folder and folder.find(claim.files[0]) is None:
            raise FormatError(f"it claimed {claim.files[0]!r}, which does not exist")
    return claims


def _claimed_files(folder: WalkedFolder, claim: Claim) -> list[tuple[WalkedFolder, str]]:
    """Returns (folder, name) of the files that a claim names, as far as their folders exist."""
    found: list[tuple[WalkedFolder, str]] = []
    for name in (*claim.files, *claim.copies, *claim.belongs):
        at, _, last = name.rpartition("/")
        home = folder.child(at) if at else folder
        if home is not None:
            found.append((home, last))
    return found


def _sources(folder: WalkedFolder) -> tuple[Source, ...]:
    """Returns the sources of a folder's claims. A second reader's claim on the same folder is a copy of the first."""
    granted: list[Source] = []
    winner: int | None = None
    folder.shared.claimer = folder  # folders whose files are named here mark this one when they change
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
    same = folder.find(claim.copy_of) if claim.copy_of else None
    return Source(
        reader,
        folder.root,
        path,
        files,
        tuple(os.path.join(folder.path, n) for n in claim.copies),  # noqa: PTH118
        copy_of=same.path if same else "",
        signs=signs_of(folder, claim),
    )


def _with_copies(winner: Source, folder: WalkedFolder, claim: Claim) -> Source:
    read = {f.path for f in winner.files}
    copies = (*winner.copies, *(os.path.join(folder.path, n) for n in (*claim.files, *claim.copies)))  # noqa: PTH118
    return replace(winner, copies=tuple(c for c in dict.fromkeys(copies) if c not in read))
