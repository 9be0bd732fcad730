"""One call of a tool: arguments -> the database -> an answer -> the page that was asked for.

    answer_call(spec, database, arguments, shelf)    what the server, the command line and tests all go through

Synchronous and free of protocol: it runs in a worker thread of the server, and in the main thread of `sweeplens call`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sweeplens.errors import CursorError, InputError
from sweeplens_mcp.answers import Page, Reply, reply
from sweeplens_mcp.cursors import Mark, Shelf, decode, encode, question
from sweeplens_mcp.tools.spec import ToolSpec

if TYPE_CHECKING:
    from sweeplens.answers import Answer
    from sweeplens.experiment_db import ExperimentDB

__all__ = ["answer_call"]


def answer_call(spec: ToolSpec, database: ExperimentDB, arguments: Mapping[str, object], shelf: Shelf) -> Reply:
    """The page of the answer that the arguments ask for. Raises SweeplensError with a sentence for the caller."""
    own = dict(arguments)
    limit, cursor = (_limit(own.pop("limit", 0)), str(own.pop("cursor", ""))) if spec.paged else (0, "")
    asked = question(spec.name, own)
    mark = decode(cursor, asked) if cursor else None
    answer = _resumed(spec, database, own, shelf, mark) if mark else spec.function(database, **own)
    version = answer.basis.data_version

    def cursor_at(row: int) -> str:
        return encode(Mark(asked, version, row))

    start = mark.row if mark else 0
    page = Page(database.config.max_answer_bytes, start, limit, cursor_at if spec.paged else None)
    made = reply(answer, page, spec.draw)
    if made.next_row is not None:
        shelf.put(asked, answer)
    return made


def _resumed(spec: ToolSpec, database: ExperimentDB, arguments: dict[str, object], shelf: Shelf, mark: Mark) -> Answer:
    """The answer that a cursor goes on with: the one that was kept, else the same anew if the data did not move on."""
    kept = shelf.get(mark)
    if kept is not None:
        now = database.refresh().version
        moved = f"the data moved on to version {now}; this goes on with version {mark.version}"
        return kept if now == mark.version else kept.resting_on(warnings=(moved, *kept.basis.warnings))
    answer = spec.function(database, **arguments)
    if answer.basis.data_version != mark.version:
        raise CursorError(
            f"The data moved on from version {mark.version} to {answer.basis.data_version}, and that answer "
            "is no longer kept: call again without the cursor."
        )
    return answer


def _limit(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise InputError(f"limit {value!r} is not a count of rows: pass 1 or more, or 0 for as many as fit.")
    return value
