"""HEAD: the one file that names what belongs together, replaced in one step."""

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

SCHEMA = 3
"""Raised whenever what is stored changes its form: a store of another schema is built anew."""


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
    retired: dict[str, float]  # files that are no longer named, and when they ceased to be
    schema: int = SCHEMA
    id: str = field(default_factory=fresh_id)
    written: float = field(default_factory=time.time)
    checksum: int = 0  # of all the rest but ``retired``

    @property
    def files(self) -> list[str]:
        """Every file that this version needs."""
        return [f.path for files in self.tables.values() for f in files] + [self.walk.path, self.view.path]


class _HeadSchema(Struct):
    """All that is asked of a HEAD before it is known which schema it has."""

    schema: int = 0


def read_head(place: StoreBackend) -> Head | None:
    """HEAD; None without one. Raises StoreError where it is damaged, of another schema, or names files that are not the store's."""
    try:
        said = json.loads(place.read("HEAD"))
        schema = msgspec.convert(said, _HeadSchema).schema
        if schema != SCHEMA:
            raise StoreError(f"The store {place.address!r} has schema {schema}, this version has {SCHEMA}.")
        return _checked(msgspec.convert(said, Head))
    except FileNotFoundError:
        return None
    except BackendUnreachableError:
        raise
    except (OSError, ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise StoreError(f"HEAD of the store {place.address!r} cannot be read: {error}.") from error


def write_head(place: StoreBackend, head: Head, before: HeadStamp | None) -> tuple[Head, HeadStamp]:
    """Put a new HEAD in the place of the one with the stamp ``before``; it and its own stamp. Raises TakenError."""
    head = replace(head, checksum=_sum_of(head))
    return head, place.replace_head(_encoded(head), before)


def _encoded(head: Head) -> bytes:
    """ASCII: a name that is not Unicode, as the system may have, stays what it is."""
    return json.dumps(msgspec.to_builtins(head)).encode()


def _sum_of(head: Head) -> int:
    return zlib.crc32(_encoded(replace(head, checksum=0, retired={})))


def _checked(head: Head) -> Head:
    """The HEAD, where it is as it was written and names nothing but files of the store. Raises ValueError."""
    if head.checksum != _sum_of(head):
        raise ValueError("it is not as it was written")
    if head.tables.keys() != set(TABLES):
        raise ValueError("it has other tables")
    named = [("state", head.walk.path), ("state", head.view.path)]
    named += [(table, file.path) for table, files in head.tables.items() for file in files]
    for folder, name in named:
        if not is_own_name(name, folder):
            raise ValueError(f"{name!r} is no name of a file of {folder!r}")
    files = set(head.files)
    retired = {name: since for name, since in head.retired.items() if is_own_name(name) and name not in files}
    return replace(head, retired=retired)
