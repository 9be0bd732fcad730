"""The tables as Delta Lake: each commit of a table adds and removes files that Polars wrote.

A commit gets the complete list of files of the table. So it also repairs a table after a process was killed between
two commits, whose files HEAD never named. `deltalake` is imported for commits only, never for reading.

Without `deltalake` (the extra `delta`) the tables have no log: HEAD names their files, and nothing of sweeplens reads a log. A log
that another installation left is removed, because it would name files that are deleted later.
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
from sweeplens.extras import is_installed
from sweeplens.panics import panics_as_errors
from sweeplens.store.backends.backend import HeadMovedError, StoreBackend, TableFile
from sweeplens.store.names import LOG_FOLDER

if TYPE_CHECKING:
    from deltalake import DeltaTable

__all__ = ["NO_LOG", "commit_table", "expect_commit"]

log = logging.getLogger("sweeplens.store")

NO_LOG = -1
"""The version of a table without a log."""
_CHECKPOINT_EVERY = 20
_RETENTION = {
    "delta.logRetentionDuration": "interval 1 hours",
    "delta.deletedFileRetentionDuration": "interval 1 hours",
}


def expect_commit() -> None:
    """Imports `deltalake` in the background, once, because a commit will follow."""
    if "deltalake" not in sys.modules and is_installed("deltalake"):
        threading.Thread(target=import_module, args=("deltalake.transaction",), name="deltalake", daemon=True).start()


def commit_table(backend: StoreBackend, name: str, files: Sequence[TableFile], schema: pl.Schema) -> int:
    """Makes the table consist of exactly these files (relative to the store). Returns its version. Raises StoreError."""
    if not is_installed("deltalake"):
        backend.empty(f"{name}/{LOG_FOLDER}")
        return NO_LOG
    from deltalake.exceptions import CommitFailedError, DeltaError

    backend.restrict_access(f"{name}/{LOG_FOLDER}")
    try:
        return _committed(backend, name, files, schema)
    except CommitFailedError as error:
        raise HeadMovedError(
            f"The table {name!r} of the store {backend.address!r} was committed by another process."
        ) from error
    except DeltaError as error:
        raise StoreError(
            f"The table {name!r} of the store {backend.address!r} cannot be committed: {error}."
        ) from error
    finally:
        backend.restrict_access(f"{name}/{LOG_FOLDER}")


def _committed(backend: StoreBackend, name: str, files: Sequence[TableFile], schema: pl.Schema) -> int:
    """Commits to the table; if its log is damaged, the log is created again first."""
    from deltalake.exceptions import CommitFailedError

    try:
        with panics_as_errors():
            return _commit(_open(backend, name, schema), files)
    except (CommitFailedError, OSError, MemoryError):
        raise
    except Exception as error:  # the boundary around the store's content: HEAD has all that the log holds
        log.info("The log of the table %s of %s is created again: %s", name, backend.address, error)
        log.debug("The traceback of that error", exc_info=True)
        backend.empty(f"{name}/{LOG_FOLDER}")
        with panics_as_errors():
            return _commit(_open(backend, name, schema), files)


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


def _open(backend: StoreBackend, name: str, schema: pl.Schema) -> DeltaTable:
    """Opens the table; creates it if it is missing or has other columns."""
    from deltalake import DeltaTable, Schema
    from deltalake.exceptions import DeltaError, TableNotFoundError

    wanted, address, options = Schema.from_arrow(schema), backend.locate(name), backend.table_options
    try:
        table = DeltaTable(address, storage_options=options)
        if [f.name for f in table.schema().fields] == schema.names():
            return table
        backend.empty(f"{name}/{LOG_FOLDER}")
    except TableNotFoundError:
        pass
    except DeltaError:  # unreadable: it holds nothing that is not in the experiments' logs
        backend.empty(f"{name}/{LOG_FOLDER}")
    return DeltaTable.create(address, schema=wanted, configuration=dict(_RETENTION), storage_options=options)
