"""Entries of the ledger and the remembered walk as bytes and back. MessagePack: exact numbers, nothing that executes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, cast

import msgspec

from sweeplens.readers.protocol import Claim, FileStat, Problem, Resume, RunRecord, Source
from sweeplens.sources.discover import Discovery, RememberedWalk, assembled
from sweeplens.sources.walk import WalkedFolder, WalkState
from sweeplens.store.ledger import FileFingerprint, SourceEntry

__all__ = ["pack_entry", "pack_walk", "unpack_entry", "unpack_walk"]

_INT64 = 1 << 63
_ODD = "\0"


class _EntryForm(msgspec.Struct, array_like=True):
    source: Source
    version: int
    records: tuple[RunRecord, ...]
    ids: tuple[str, ...]
    problems: tuple[Problem, ...]
    resume: Resume | None
    marks: dict[str, FileFingerprint]
    content: int | None


_encode = msgspec.msgpack.Encoder().encode
_entry = msgspec.msgpack.Decoder(_EntryForm)


def pack_entry(entry: SourceEntry) -> bytes:
    """An entry as bytes; values that MessagePack lacks are written under their kind."""
    records = tuple(_odd_out(r) for r in entry.records)
    return _encode(
        _EntryForm(
            entry.source,
            entry.version,
            records,
            entry.ids,
            entry.problems,
            entry.resume,
            dict(entry.marks),
            entry.content,
        )
    )


def unpack_entry(data: bytes) -> SourceEntry:
    """The way back. Raises msgspec.DecodeError for anything else."""
    e = _entry.decode(data)
    return SourceEntry(
        e.source, e.version, tuple(map(_odd_in, e.records)), e.ids, e.problems, e.resume, e.marks, e.content
    )


def _odd_out(record: RunRecord) -> RunRecord:
    return _with(record, _written)


def _odd_in(record: RunRecord) -> RunRecord:
    return _with(record, _read)


def _with(record: RunRecord, change: Any) -> RunRecord:
    hyper, metadata = change(record.hyperparameters), change(record.metadata)
    if hyper is record.hyperparameters and metadata is record.metadata:
        return record
    return RunRecord(
        record.id, record.name, record.group, record.status, record.created_at, record.updated_at, record.parent,
        record.tags, hyper, metadata, record.non_scalar,
    )  # fmt: skip


def _written(value: object) -> object:
    """The value, the same object where MessagePack has all of it."""
    if value is None or isinstance(value, str | float | bool):
        return value
    if isinstance(value, int):
        return value if -_INT64 <= value < _INT64 else {_ODD: "int", "is": str(value)}
    if isinstance(value, Mapping):
        pairs = {str(k): _written(v) for k, v in cast("Mapping[object, object]", value).items()}
        same = all(pairs.get(k) is v for k, v in cast("Mapping[Any, object]", value).items())
        return cast("object", value) if same else pairs
    if isinstance(value, list | tuple):
        return [_written(v) for v in cast("list[object]", value)]
    if isinstance(value, date):
        return {_ODD: "datetime" if isinstance(value, datetime) else "date", "is": value.isoformat()}
    return {_ODD: "str", "is": str(value)}


def _read(value: object) -> object:
    if isinstance(value, list):
        return [_read(v) for v in cast("list[object]", value)]
    if not isinstance(value, dict):
        return value
    known = cast("dict[str, object]", value)
    if _ODD in known:
        text = str(known["is"])
        kinds: dict[object, Any] = {"int": int, "datetime": datetime.fromisoformat, "date": date.fromisoformat}
        return kinds.get(known[_ODD], str)(text)
    return {k: _read(v) for k, v in known.items()}


class _FolderForm(msgspec.Struct, array_like=True):
    path: str
    parent: int
    files: list[tuple[str, int, int, int, int]]
    taken: dict[str, tuple[str, int]]
    claims: tuple[tuple[str, Claim], ...] | None
    owned: frozenset[str]
    problems: tuple[Problem, ...]
    heads: dict[str, int]
    others: list[int]
    samples: list[str] = []


class _WalkForm(msgspec.Struct, array_like=True):
    readers: tuple[tuple[str, int], ...]
    folders: list[_FolderForm]
    asked: dict[str, list[str]]  # root -> names
    problems: tuple[Problem, ...]


_walk = msgspec.msgpack.Decoder(_WalkForm)


def pack_walk(memory: RememberedWalk) -> bytes:
    """The folders of a discovery with everything that the next one spares itself."""
    folders = [f for top in memory.tops.values() for f in top.below_and_self()]
    place = {id(f): i for i, f in enumerate(folders)}
    packed = [
        _FolderForm(
            f.path,
            place[id(f.parent)] if f.parent is not None else -1,
            [(n, s.size, s.mtime_ns, s.inode, s.changed_ns) for n, s in f.files.items()],
            {n: (r, place.get(id(f.takers[n]), -1)) for n, r in f.taken.items() if n in f.takers},
            f.claims,
            f.owned,
            f.problems,
            f.heads,
            [place[id(o)] for o in f.others if id(o) in place],
            sorted(f.samples),
        )
        for f in folders
    ]
    asked = {root: sorted(top.shared.asked) for root, top in memory.tops.items()}
    problems = memory.found.problems if memory.found else ()
    return _encode(_WalkForm(memory.readers, packed, asked, problems))


def unpack_walk(data: bytes) -> tuple[RememberedWalk, Discovery]:
    """The memory and what it found. Raises msgspec.DecodeError for anything else."""
    packed = _walk.decode(data)
    memory = RememberedWalk(readers=packed.readers)
    folders: list[WalkedFolder] = []
    for item in packed.folders:
        folders.append(_folder(item, folders, memory, packed.asked))
    for item, folder in zip(packed.folders, folders, strict=True):
        for name, (reader, taker) in item.taken.items():
            folder.taken[name], folder.takers[name] = reader, folders[taker]
        folder.others = {folders[i] for i in item.others}
    memory.found = assembled(memory, packed.problems)
    return memory, memory.found


def _folder(
    item: _FolderForm, before: list[WalkedFolder], memory: RememberedWalk, asked: dict[str, list[str]]
) -> WalkedFolder:
    parent = before[item.parent] if item.parent >= 0 else None
    folder = WalkedFolder(
        path=item.path,
        root=parent.root if parent else item.path,
        parent=parent,
        files={n: FileStat(f"{item.path}/{n}", *numbers) for n, *numbers in item.files},
        shared=parent.shared if parent else WalkState(asked=set(asked.get(item.path, ()))),
        claims=item.claims,
        owned=item.owned,
        problems=item.problems,
        heads=item.heads,
        samples=set(item.samples),
        dirty=item.claims is None,
    )
    if parent is None:
        memory.tops[item.path] = folder
    else:
        parent.folders[folder.name] = folder
    return folder
