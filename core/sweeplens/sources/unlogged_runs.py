"""Finds the folders of runs that hold no metrics: the program failed, was killed, or has not come to its first metric.

    unlogged_runs(visited)   -> a source for each, read by `readers.unlogged`

Such a folder lies beside at least two folders of one run each, no reader has claimed anything in it, and it holds a
configuration or what a program printed. It is like a run beside it: it has files of the same names (numbers apart), not only
printed output, and no others than signs of an end; or its own name is like theirs, and it holds only a configuration and such
signs. A folder that holds only a configuration must have a name like theirs, as it may be a template, and so must one that holds
only printed output, as it may collect that of a scheduler.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from msgspec import Struct

from sweeplens.readers.boundary import Failure, guarded
from sweeplens.readers.decoding.sidecars import SETTINGS_NAMES, config_files
from sweeplens.readers.protocol import FileStat, Source
from sweeplens.readers.unlogged import NAME
from sweeplens.safe_open import confined
from sweeplens.sources.signs import is_printed_or_marker, is_sign
from sweeplens.sources.walk import WalkedFolder

__all__ = ["unlogged_runs"]

_LEAST_RUNS = 2
_MOST_RUNS = 1000  # runs beside a folder that it is compared with
_MOST_FILES = 64  # of such a folder; one with more holds something else
_HIDDEN_SETTINGS = (".hydra/", ".guild/", "params/")


class _Kinds(Struct, frozen=True):
    """The runs in a folder: the names of their folders and sets of the names of their files, numbers replaced."""

    names: frozenset[str]
    files: frozenset[frozenset[str]]


def unlogged_runs(visited: Sequence[WalkedFolder]) -> tuple[Source, ...]:
    """Returns the sources of such folders, in the order of the walk. ``visited``: all folders, with their final claims."""
    counts = _sources_below(visited)
    found: list[Source] = []
    for folder in visited:
        if counts.get(folder.path, 0) < _LEAST_RUNS or "*" in folder.owned:
            continue
        others = [f for n, f in folder.folders.items() if f.path not in counts and n not in folder.owned]
        others = [f for f in others if not f.name.startswith((".", "_"))]
        runs = [f for f in folder.folders.values() if counts.get(f.path) == 1] if others else []
        if len(runs) >= _LEAST_RUNS:
            kinds = _kinds(runs)
            found += [_source(other, files) for other in others if (files := _files_of_run(other, kinds))]
    return tuple(found)


def _sources_below(visited: Iterable[WalkedFolder]) -> dict[str, int]:
    """Returns path of a folder -> how many sources are in it and below; without folders that have none."""
    counts: dict[str, int] = {}
    for folder in visited:
        own = sum(not s.copy_of for s in folder.granted)
        above: WalkedFolder | None = folder if own or folder.granted else None
        while above is not None:
            counts[above.path] = counts.get(above.path, 0) + own
            above = above.parent
    return counts


def _kinds(runs: Sequence[WalkedFolder]) -> _Kinds:
    some = runs[:_MOST_RUNS]
    files = (frozenset(_kind(n) for n, _ in islice(f.tree(), _MOST_FILES)) for f in some)
    return _Kinds(frozenset(_kind(f.name) for f in runs), frozenset(files))


def _kind(name: str) -> str:
    return re.sub(r"\d+", "#", name.lower())


def _files_of_run(folder: WalkedFolder, kinds: _Kinds) -> dict[str, FileStat]:
    """Returns the files of a folder, by path below it, if it is that of a run without metrics; else none."""
    files = dict(islice(folder.tree(), _MOST_FILES + 1))
    if not files or len(files) > _MOST_FILES or any(n in f.taken for f, n in _homes(folder, files)):
        return {}
    printed = [n for n, stat in files.items() if stat.size and is_printed_or_marker(_last(n))]
    settings = [n for n in files if _last(n) in SETTINGS_NAMES or n.startswith(_HIDDEN_SETTINGS)]
    named_alike = _kind(folder.name) in kinds.names
    if not printed and not (settings and named_alike):
        return {}
    told = {_kind(n) for n in files if is_printed_or_marker(_last(n))}
    mine = {_kind(n) for n in files}
    alike = any((mine & theirs) - told and mine - theirs <= told for theirs in kinds.files)
    plain = named_alike and all(_kind(n) in told or n in settings for n in files)
    return files if alike or plain else {}


def _homes(folder: WalkedFolder, files: Iterable[str]) -> Iterator[tuple[WalkedFolder, str]]:
    for path in files:
        at, _, name = path.rpartition("/")
        home = folder.child(at) if at else folder
        if home is not None:
            yield home, name


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def _source(folder: WalkedFolder, files: dict[str, FileStat]) -> Source:
    """Returns the source: its settings first, as for any log, then its other files."""
    with confined((folder.root,)):
        told = guarded(lambda: config_files(folder), folder.path, "has settings that cannot be examined")
    settings = [] if isinstance(told, Failure) else [s for n in told if (s := folder.find(n))]
    signs = tuple(stat for name, stat in files.items() if is_sign(_last(name)))
    return Source(NAME, folder.root, folder.path, tuple(dict.fromkeys((*settings, *files.values()))), signs=signs)
