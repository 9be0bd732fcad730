"""Names of the store's own files. Files with other names are neither read nor removed."""

from __future__ import annotations

import re
import uuid

__all__ = [
    "FOLDERS",
    "LOG_FOLDER",
    "TABLES",
    "fresh_id",
    "fresh_name",
    "is_kept_state",
    "is_log_name",
    "is_own_name",
    "mark_kept_by",
    "name_of_state",
    "state_of_mark",
]

TABLES = ("points", "series", "runs", "ledger")
FOLDERS = (*TABLES, "state")
LOG_FOLDER = "_delta_log"

_ID = "[0-9a-f]{32}"
_OWN = re.compile(rf"(?P<folder>{'|'.join(FOLDERS)})/{_ID}\.parquet|(?P<state>state)/{_ID}\.(walk|news)|HEAD\.{_ID}")
_LOG = re.compile(
    r"([0-9]{20}\.(json|crc|checkpoint[0-9a-z.-]*\.parquet)|_last_checkpoint|_commit_[0-9a-f-]+\.json\.tmp)(#[0-9]+)?"
)


def fresh_id() -> str:
    """Returns a unique name."""
    return uuid.uuid4().hex


def fresh_name(folder: str, ending: str, mark: str = "") -> str:
    """Returns a unique file name in a folder of the store. ``mark``: at most 16 hexadecimal digits with which it begins."""
    return f"{folder}/{mark}{fresh_id()[len(mark) :]}{ending}"


def is_own_name(name: str, folder: str = "") -> bool:
    """Whether `fresh_name` could have made this name (in this folder, if given), or it is a HEAD that is being written."""
    found = _OWN.fullmatch(name)
    return found is not None and (not folder or folder in (found["folder"], found["state"]))


def is_log_name(name: str) -> bool:
    """Whether a file of this name in a `LOG_FOLDER` is part of Delta's log."""
    return _LOG.fullmatch(name) is not None


def name_of_state(identity: str) -> str:
    """Returns the name of the file that keeps the state of a cursor, by its id of 32 hexadecimal digits."""
    return f"state/{identity}.news"


def state_of_mark(mark: str) -> str:
    """Returns the id of the state that an ingest keeps while files whose names begin with its mark are written."""
    return mark + mark


def mark_kept_by(name: str) -> str:
    """Returns the mark of an ingest that keeps this state; empty for the state of a cursor, whose id is a hash."""
    identity = name.rpartition("/")[2].removesuffix(".news")
    mark = identity[: len(identity) // 2]
    return mark if is_kept_state(name) and identity == state_of_mark(mark) else ""


def is_kept_state(name: str) -> bool:
    """Whether a file keeps the state of a cursor: no HEAD names it."""
    return name.endswith(".news")
