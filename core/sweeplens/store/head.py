"""HEAD: the one file that names what belongs together, replaced in one step."""

from __future__ import annotations

import time
import uuid

from msgspec import MsgspecError, Struct, field, json

from sweeplens.errors import StoreError
from sweeplens.store.backends.backend import BackendUnreachableError, HeadStamp, StoreBackend, TableFile

__all__ = ["SCHEMA", "Head", "fresh_id", "fresh_name", "read_head", "write_head"]

SCHEMA = 3
"""Raised whenever what is stored changes its form: a store of another schema is built anew."""


class Head(Struct, frozen=True):
    """One version of the whole store."""

    readers: dict[str, int]
    roots: list[str]
    tables: dict[str, list[TableFile]]
    versions: dict[str, int]  # of the Delta tables
    walk: str
    view: str  # the runs frame as it is in memory, one column a hyperparameter
    data_version: str
    young: list[list[str]]
    retired: dict[str, float]  # files that are no longer named, and when they ceased to be
    schema: int = SCHEMA
    id: str = field(default_factory=lambda: fresh_id())
    written: float = field(default_factory=time.time)

    @property
    def files(self) -> list[str]:
        """Every file that this version needs."""
        return [f.path for files in self.tables.values() for f in files] + [self.walk, self.view]


class _HeadSchema(Struct):
    """All that is asked of a HEAD before it is known which schema it has."""

    schema: int = 0


def fresh_id() -> str:
    """A name that nobody has."""
    return uuid.uuid4().hex


def fresh_name(folder: str, ending: str) -> str:
    """A file name that nobody has."""
    return f"{folder}/{fresh_id()}{ending}"


def read_head(place: StoreBackend) -> Head | None:
    """HEAD; None without one. Raises StoreError where it is damaged or of another schema."""
    try:
        said = place.read("HEAD")
        schema = json.decode(said, type=_HeadSchema).schema
        if schema != SCHEMA:
            raise StoreError(f"The store {place.address!r} has schema {schema}, this version has {SCHEMA}.")
        return json.decode(said, type=Head)
    except FileNotFoundError:
        return None
    except BackendUnreachableError:
        raise
    except (OSError, MsgspecError) as error:
        raise StoreError(f"HEAD of the store {place.address!r} cannot be read: {error}.") from error


def write_head(place: StoreBackend, head: Head, before: HeadStamp | None) -> HeadStamp:
    """Put a new HEAD in the place of the one that ``before`` tells; its stamp. Raises TakenError where it is another by now."""
    return place.replace_head(json.encode(head), before)
