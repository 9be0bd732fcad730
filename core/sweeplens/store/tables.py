"""The tables as Delta Lake: files that Polars wrote are added and removed in one commit a table.

What a table must hold is said as a whole, so that a commit also mends what a process left that was killed between two
tables: HEAD never named it. `deltalake` is imported when something is committed, never to read.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from sweeplens.errors import StoreError
from sweeplens.store.head import FileName

if TYPE_CHECKING:
    from deltalake import DeltaTable

__all__ = ["commit_table"]

_CHECKPOINT_EVERY = 20
_RETENTION = {
    "delta.logRetentionDuration": "interval 1 hours",
    "delta.deletedFileRetentionDuration": "interval 1 hours",
}


def commit_table(place: Path, name: str, files: Sequence[FileName], schema: pl.Schema) -> int:
    """Make the table hold exactly these files (named relative to the store); its version then. Raises StoreError."""
    from deltalake.exceptions import DeltaError

    try:
        return _commit(_open(place / name, schema), files)
    except DeltaError as error:
        raise StoreError(f"The table {name!r} of the store {str(place)!r} cannot be committed: {error}.") from error


def _commit(table: DeltaTable, files: Sequence[FileName]) -> int:
    from deltalake import CommitProperties, PostCommitHookProperties
    from deltalake.transaction import AddAction, RemoveAction

    held = {uri.rsplit("/", 1)[-1] for uri in table.file_uris()}
    wanted = {f.path.rsplit("/", 1)[-1]: f for f in files}
    now = int(time.time() * 1000)
    actions: list[AddAction | RemoveAction] = [RemoveAction(n, True, now) for n in held - wanted.keys()]
    for base in wanted.keys() - held:
        stats = json.dumps({"numRecords": wanted[base].rows})
        actions.append(AddAction(base, wanted[base].size, {}, now, True, stats))
    if actions:
        table.create_write_transaction(
            actions, "append", table.schema(), [],
            commit_properties=CommitProperties(max_commit_retries=0),
            post_commithook_properties=PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False),
        )  # fmt: skip
        table.update_incremental()
    if table.version() and table.version() % _CHECKPOINT_EVERY == 0:
        table.create_checkpoint()
        table.cleanup_metadata()
    return table.version()


def _open(folder: Path, schema: pl.Schema) -> DeltaTable:
    """The table, made anew where there is none or where it has other columns."""
    from deltalake import DeltaTable, Schema
    from deltalake.exceptions import DeltaError

    wanted = Schema.from_arrow(schema)
    try:
        table = DeltaTable(folder)
        if [f.name for f in table.schema().fields] == schema.names():
            return table
    except DeltaError:
        pass  # none there, or one that cannot be read: it holds nothing that is not in the logs
    for log in (folder / "_delta_log").glob("*"):
        log.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    return DeltaTable.create(folder, schema=wanted, configuration=dict(_RETENTION))
