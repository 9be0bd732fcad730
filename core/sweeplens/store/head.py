"""HEAD: one file that names all files of a version of the store, replaced in one step."""

from __future__ import annotations

import json
import time
import zlib

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from sweeplens.errors import StoreError
from sweeplens.store.backends.backend import BackendUnreachableError, HeadStamp, StoreBackend, TableFile
from sweeplens.store.names import TABLES, fresh_id, is_own_name

__all__ = ["SCHEMA", "Head", "read_head", "write_head"]

SCHEMA = 7
"""Increased when the stored form changes: a store with another schema is rebuilt."""


class Head(Struct, frozen=True):
    """One version of the whole store."""

    readers: dict[str, int]
    roots: list[str]
    tables: dict[str, list[TableFile]]
    versions: dict[str, int]  # of the Delta tables
    walk: TableFile
    view: TableFile  # the runs frame as it is in memory, one column a hyperparameter
    data_version: str
    young: list[list[str]]
    retired: dict[str, float]  # files that this version no longer names, and since when
    schema: int = SCHEMA
    id: str = field(default_factory=fresh_id)
    written: float = field(default_factory=time.time)
    checksum: int = 0  # of all other fields except ``retired``

    @property
    def files(self) -> list[str]:
        """Returns every file that this version needs."""
        return [f.path for files in self.tables.values() for f in files] + [self.walk.path, self.view.path]


class _HeadSchema(Struct):
    """The part of HEAD that is read before its schema is known."""

    schema: int = 0


def read_head(backend: StoreBackend) -> Head | None:
    """Reads HEAD; None if there is none. Raises StoreError if it is damaged, has another schema, or names foreign files."""
    try:
        data = json.loads(backend.read("HEAD"))
        schema = msgspec.convert(data, _HeadSchema).schema
        if schema != SCHEMA:
            raise StoreError(f"The store {backend.address!r} has schema {schema}, this version has {SCHEMA}.")
        return _checked(msgspec.convert(data, Head))
    except FileNotFoundError:
        return None
    except BackendUnreachableError:
        raise
    except (OSError, ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise StoreError(f"HEAD of the store {backend.address!r} cannot be read: {error}.") from error


def write_head(backend: StoreBackend, head: Head, before: HeadStamp | None) -> tuple[Head, HeadStamp]:
    """Replaces the HEAD that has the stamp ``before``. Returns the new one and its stamp. Raises HeadMovedError."""
    head = replace(head, checksum=_sum_of(head))
    return head, backend.replace_head(_encoded(head), before)


def _encoded(head: Head) -> bytes:
    """Encodes HEAD as ASCII, so that file names that are not Unicode are kept."""
    return json.dumps(msgspec.to_builtins(head)).encode()


def _sum_of(head: Head) -> int:
    return zlib.crc32(_encoded(replace(head, checksum=0, retired={})))


def _checked(head: Head) -> Head:
    """Returns HEAD if it is undamaged and names only files of the store. Raises ValueError otherwise."""
    if head.checksum != _sum_of(head):
        raise ValueError("its checksum does not match")
    if head.tables.keys() != set(TABLES):
        raise ValueError("it has other tables")
    named = [("state", head.walk.path), ("state", head.view.path)]
    named += [(table, file.path) for table, files in head.tables.items() for file in files]
    for folder, name in named:
        if not is_own_name(name, folder):
            raise ValueError(f"{name!r} is not the name of a file in {folder!r}")
    files = set(head.files)
    retired = {name: since for name, since in head.retired.items() if is_own_name(name) and name not in files}
    return replace(head, retired=retired)
