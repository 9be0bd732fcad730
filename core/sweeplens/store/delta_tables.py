"""The tables as Delta Lake: files that Polars wrote are added and removed in one commit a table.

What a table must hold is said as a whole, so that a commit also mends what a process left that was killed between two
tables: HEAD never named it. `deltalake` is imported when something is committed, never to read.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

import polars as pl

from sweeplens.errors import StoreError
from sweeplens.store.backends.backend import HeadMovedError, StoreBackend, TableFile
from sweeplens.store.names import LOG_FOLDER

if TYPE_CHECKING:
    from deltalake import DeltaTable

__all__ = ["commit_table", "expect_commit"]

log = logging.getLogger("sweeplens.store")

_CHECKPOINT_EVERY = 20
_RETENTION = {
    "delta.logRetentionDuration": "interval 1 hours",
    "delta.deletedFileRetentionDuration": "interval 1 hours",
}


def expect_commit() -> None:
    """Import `deltalake` in the background, once: what is written will be committed."""
    if "deltalake" not in sys.modules:
        threading.Thread(target=import_module, args=("deltalake.transaction",), name="deltalake", daemon=True).start()


def commit_table(place: StoreBackend, name: str, files: Sequence[TableFile], schema: pl.Schema) -> int:
    """Make the table hold exactly these files (named relative to the store); its version then. Raises StoreError."""
    from deltalake.exceptions import CommitFailedError, DeltaError

    place.close_to_others(f"{name}/{LOG_FOLDER}")
    try:
        return _committed(place, name, files, schema)
    except CommitFailedError as error:
        raise HeadMovedError(f"The table {name!r} of the store {place.address!r} was committed by another.") from error
    except DeltaError as error:
        raise StoreError(f"The table {name!r} of the store {place.address!r} cannot be committed: {error}.") from error
    finally:
        place.close_to_others(f"{name}/{LOG_FOLDER}")


def _committed(place: StoreBackend, name: str, files: Sequence[TableFile], schema: pl.Schema) -> int:
    """Commit to the table that is there; where its log is damaged, to one that is made anew."""
    from deltalake.exceptions import CommitFailedError

    try:
        return _commit(_open(place, name, schema), files)
    except (CommitFailedError, OSError, MemoryError):
        raise
    except (Exception, pl.exceptions.PanicException) as error:  # whatever the log says: it holds nothing of its own
        log.info("The log of the table %s of %s is made anew: %s", name, place.address, error)
        log.debug("What was wrong with it", exc_info=True)
        place.empty(f"{name}/{LOG_FOLDER}")
        return _commit(_open(place, name, schema), files)


def _commit(table: DeltaTable, files: Sequence[TableFile]) -> int:
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


def _open(place: StoreBackend, name: str, schema: pl.Schema) -> DeltaTable:
    """The table, made anew where there is none or where it has other columns."""
    from deltalake import DeltaTable, Schema
    from deltalake.exceptions import DeltaError, TableNotFoundError

    wanted, address, options = Schema.from_arrow(schema), place.locate(name), place.table_options
    try:
        table = DeltaTable(address, storage_options=options)
        if [f.name for f in table.schema().fields] == schema.names():
            return table
        place.empty(f"{name}/{LOG_FOLDER}")
    except TableNotFoundError:
        pass
    except DeltaError:  # one that cannot be read: it holds nothing that is not in the logs
        place.empty(f"{name}/{LOG_FOLDER}")
    return DeltaTable.create(address, schema=wanted, configuration=dict(_RETENTION), storage_options=options)
