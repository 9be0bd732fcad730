"""Encodes ledger entries and the remembered walk as MessagePack, and decodes them: exact numbers, no code execution.

Types that MessagePack lacks (long integers, original datetimes) are extension types, so data from files cannot be mistaken
for them. The first byte is the encoding of text: unchanged, or byte by byte where some text has lone surrogates.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any, TypeVar, cast

import msgspec
from msgspec.msgpack import Ext
from msgspec.structs import replace

from sweeplens.errors import StoreError
from sweeplens.readers.protocol import Claim, FileStat, Problem, Resume, RunRecord, Source
from sweeplens.sources.discover import Discovery, RememberedWalk, assembled
from sweeplens.sources.walk import WalkedFolder, WalkState
from sweeplens.store.ledger import FileFingerprint, SourceEntry

__all__ = ["pack_entry", "pack_walk", "unpack_entry", "unpack_walk"]

log = logging.getLogger("sweeplens.store")

T = TypeVar("T")
_INT64 = 1 << 63
_INTEGER, _DATETIME, _DATE = 1, 2, 3  # extension types
_UNCHANGED, _BYTEWISE = b"\0", b"\1"


class _EntryForm(msgspec.Struct, array_like=True):
    source: Source
    version: int
    records: tuple[RunRecord, ...]
    ids: tuple[str, ...]
    problems: tuple[Problem, ...]
    resume: Resume | None
    marks: dict[str, FileFingerprint]
    content: int | None
    ended: str
    grows: bool
    scored: bool
    warnings: tuple[str, ...] | None


def pack_entry(entry: SourceEntry) -> bytes:
    """Encodes an entry; types that MessagePack lacks become extension types."""
    records = tuple(_changed(r, _to_messagepack) for r in entry.records)
    resume = entry.resume and replace(
        entry.resume, state=cast("dict[str, object]", _to_messagepack(entry.resume.state))
    )
    source, marks = entry.source, dict(entry.marks)
    form = _EntryForm(
        source,
        entry.version,
        records,
        entry.ids,
        entry.problems,
        resume,
        marks,
        entry.content,
        entry.ended,
        entry.grows,
        entry.scored,
        entry.warnings,
    )
    return _encoded(form)


def unpack_entry(data: bytes) -> SourceEntry:
    """Decodes an entry. Raises StoreError for anything else."""
    return _decoded_or_error(lambda: _entry(data))


def _entry(data: bytes) -> SourceEntry:
    e = _decoded(data, _entry_decoder)
    return SourceEntry(
        e.source,
        e.version,
        e.records,
        e.ids,
        e.problems,
        e.resume,
        e.marks,
        e.content,
        e.ended,
        e.grows,
        e.scored,
        e.warnings,
    )


def _changed(record: RunRecord, change: Callable[[object], Any]) -> RunRecord:
    hyper, metadata = change(record.hyperparameters), change(record.metadata)
    if hyper is record.hyperparameters and metadata is record.metadata:
        return record
    return replace(record, hyperparameters=hyper, metadata=metadata)


def _to_messagepack(value: object) -> object:
    """Returns the value with extension types; the same object if it needs none."""
    if value is None or isinstance(value, str | float | bool):
        return value
    if isinstance(value, int):
        return value if -_INT64 <= value < _INT64 else Ext(_INTEGER, hex(value).encode())
    if isinstance(value, Mapping):
        pairs = {str(k): _to_messagepack(v) for k, v in cast("Mapping[object, object]", value).items()}
        same = all(pairs.get(k) is v for k, v in cast("Mapping[Any, object]", value).items())
        return cast("object", value) if same else pairs
    if isinstance(value, list | tuple):
        return [_to_messagepack(v) for v in cast("list[object]", value)]
    if isinstance(value, date):
        return Ext(_DATETIME if isinstance(value, datetime) else _DATE, value.isoformat().encode())
    return str(value)


def _read(kind: int, data: memoryview) -> object:
    """Decodes the value of an extension type."""
    text = bytes(data).decode()
    if kind == _INTEGER:
        return int(text, 16)
    return datetime.fromisoformat(text) if kind == _DATETIME else date.fromisoformat(text)


# ---------------------------------------------------------------- bytes and text

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ext_hook=_read).decode
_entry_decoder = msgspec.msgpack.Decoder(_EntryForm, ext_hook=_read)


def _encoded(value: object) -> bytes:
    try:
        return _UNCHANGED + _encode(value)
    except UnicodeEncodeError:
        return _BYTEWISE + _encode(_mapped(msgspec.to_builtins(value, builtin_types=(Ext,)), _bytes_as_text))


def _decoded(data: bytes, decoder: msgspec.msgpack.Decoder[T]) -> T:
    if data[:1] == _UNCHANGED:
        return decoder.decode(memoryview(data)[1:])
    if data[:1] != _BYTEWISE:
        raise ValueError("unknown text encoding")
    return msgspec.convert(_mapped(_decode(memoryview(data)[1:]), _joined), decoder.type)


def _mapped(value: object, change: Callable[[str], str]) -> object:
    """Applies a function to every text in nested data, keys too."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {_mapped(k, change): _mapped(v, change) for k, v in cast("dict[object, object]", value).items()}
    if isinstance(value, list | tuple | frozenset):
        return [_mapped(v, change) for v in cast("list[object]", value)]
    return value


def _bytes_as_text(text: str) -> str:
    return text.encode("utf-8", "surrogatepass").decode("latin-1")


def _joined(text: str) -> str:
    return text.encode("latin-1").decode("utf-8", "surrogatepass")


def _decoded_or_error(work: Callable[[], T]) -> T:
    """Decodes content of the store. This is the boundary around it: after any error, the folders are read again."""
    try:
        return work()
    except Exception as error:  # the boundary around the store's content
        log.debug("A part of the store cannot be decoded", exc_info=True)
        raise StoreError(f"A part of the store cannot be decoded: {type(error).__name__}.") from error


# ----------------------------------------------------------------------- the walk


class _FolderForm(msgspec.Struct, array_like=True):
    path: str
    parent: int
    files: list[tuple[str, int, int, int, int]]
    taken: dict[str, tuple[str, int]]
    claims: tuple[tuple[str, Claim], ...] | None
    owned: frozenset[str]
    problems: tuple[Problem, ...]
    heads: dict[str, int]
    dependents: list[int]
    samples: list[str] = []


class _WalkForm(msgspec.Struct, array_like=True):
    readers: tuple[tuple[str, int], ...]
    folders: list[_FolderForm]
    asked: dict[str, list[str]]  # root -> names
    problems: tuple[Problem, ...]


_walk_decoder = msgspec.msgpack.Decoder(_WalkForm)


def pack_walk(memory: RememberedWalk) -> bytes:
    """Encodes the folders of a discovery, with all that the next one can reuse."""
    folders = [f for top in memory.tops.values() for f in top.below_and_self()]
    position = {id(f): i for i, f in enumerate(folders)}
    packed = [
        _FolderForm(
            f.path,
            position[id(f.parent)] if f.parent is not None else -1,
            [(n, s.size, s.mtime_ns, s.inode, s.changed_ns) for n, s in f.files.items()],
            {n: (r, position.get(id(f.takers[n]), -1)) for n, r in f.taken.items() if n in f.takers},
            f.claims,
            f.owned,
            f.problems,
            f.heads,
            [position[id(o)] for o in f.dependents if id(o) in position],
            sorted(f.samples),
        )
        for f in folders
    ]
    asked = {root: sorted(top.shared.asked) for root, top in memory.tops.items()}
    problems = memory.found.problems if memory.found else ()
    return _encoded(_WalkForm(memory.readers, packed, asked, problems))


def unpack_walk(data: bytes) -> tuple[RememberedWalk, Discovery]:
    """Decodes the remembered walk and its discovery. Raises StoreError for anything else."""
    return _decoded_or_error(lambda: _walk(data))


def _walk(data: bytes) -> tuple[RememberedWalk, Discovery]:
    packed = _decoded(data, _walk_decoder)
    memory = RememberedWalk(readers=packed.readers)
    folders: list[WalkedFolder] = []
    for item in packed.folders:
        folders.append(_folder(item, folders, memory, packed.asked))
    for item, folder in zip(packed.folders, folders, strict=True):
        for name, (reader, taker) in item.taken.items():
            folder.taken[name], folder.takers[name] = reader, folders[taker]
        folder.dependents = {folders[i] for i in item.dependents}
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
