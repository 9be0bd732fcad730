"""One call of a tool: arguments -> the database -> an answer -> the page that was asked for.

    answer_call(spec, database, arguments, shelf)    what the server, the command line and tests all go through

Synchronous and free of protocol: it runs in a worker thread of the server, and in the main thread of `sweeplens call`.
Who works out the answer is a parameter: this thread, or a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, cast

from msgspec import Struct
from msgspec.structs import replace

from sweeplens.answers import Answer, LazyAnswer
from sweeplens.errors import CursorError, InputError, StoreError, SweeplensError
from sweeplens_mcp.execution.cursors import AnswerCache, CursorState, check_row, decode, encode, question, read
from sweeplens_mcp.render.answers import PageRequest, ToolReply, reply
from sweeplens_mcp.render.pictures import data_reply, picture_reply
from sweeplens_mcp.tools.spec import Made, ToolSpec

if TYPE_CHECKING:
    from sweeplens.charts import Chart
    from sweeplens.experiment_db import ExperimentDB

__all__ = ["Ask", "answer_call", "answer_here"]

Ask = Callable[[ToolSpec, "ExperimentDB", Mapping[str, object]], Made]
"""A tool's answer to its own arguments, without paging."""


class _FoundAnswer(Struct, frozen=True):
    """The answer to page through: its question's name, its first row on this page, and what its last page closes with."""

    asked: str
    answer: Answer | LazyAnswer
    start: int = 0
    closing: str = ""


def answer_here(spec: ToolSpec, database: ExperimentDB, arguments: Mapping[str, object]) -> Made:
    """The answer, worked out in this thread."""
    return spec.function(database, **arguments)


def answer_call(
    spec: ToolSpec, database: ExperimentDB, arguments: Mapping[str, object], shelf: AnswerCache, ask: Ask = answer_here
) -> ToolReply:
    """The page of the answer that the arguments ask for. Raises SweeplensError with a sentence for the caller."""
    call = _CallContext(spec, database, shelf, ask)
    try:
        return _page(call, arguments)
    except OSError as error:  # the store may be deleted, or fall silent, at any time
        if isinstance(error, SweeplensError):
            raise
        return _page_without(call, arguments, error)


def _page_without(call: _CallContext, arguments: Mapping[str, object], error: OSError) -> ToolReply:
    """The page once more, after a look at what is there now; what the store ceased to give is read from the folders."""
    call.shelf.forget_scrolls()
    call.database.load_experiments()
    try:
        return _page(call, arguments)
    except OSError as again:
        if isinstance(again, SweeplensError):
            raise
        raise StoreError(
            f"The store cannot be read: {error}. `sweeplens doctor` says where it lies; it may be deleted."
        ) from again


def _page(call: _CallContext, arguments: Mapping[str, object]) -> ToolReply:
    spec, own = call.spec, dict(arguments)
    if spec.picture:
        draw = data_reply if spec.of_page else picture_reply
        return draw(call.chart(own), call.database.config.max_answer_bytes)
    limit = _limit(own.pop("limit", 0))
    found = (_news if spec.news else _found)(call, own)
    asked, version = found.asked, found.answer.basis.data_version

    def cursor_at(row: int) -> str:
        return encode(CursorState(asked, version, row))

    pages = cursor_at if spec.paged or spec.news else None
    page = PageRequest(call.database.config.max_answer_bytes, found.start, limit, pages, found.closing)
    made = reply(found.answer, page, spec.draw)
    if made.next_row is not None and not spec.news:
        call.shelf.put(asked, found.answer)
    return made


class _CallContext(Struct, frozen=True):
    """A tool, what it is asked about, what was kept of earlier answers, and who works out new ones."""

    spec: ToolSpec
    database: ExperimentDB
    shelf: AnswerCache
    ask: Ask

    def anew(self, arguments: Mapping[str, object]) -> Answer | LazyAnswer:
        """The answer, worked out now."""
        return cast("Answer | LazyAnswer", self.ask(self.spec, self.database, arguments))

    def chart(self, arguments: Mapping[str, object]) -> Chart:
        """The same of a tool that draws."""
        return cast("Chart", self.ask(self.spec, self.database, arguments))


def _found(call: _CallContext, arguments: dict[str, object]) -> _FoundAnswer:
    cursor = str(arguments.pop("cursor", ""))
    asked = question(call.spec.name, arguments)
    if not cursor:
        return _FoundAnswer(asked, call.anew(arguments))
    mark = decode(cursor, asked)
    answer = _resumed(call, arguments, mark)
    check_row(mark, answer)
    return _FoundAnswer(asked, answer, mark.row)


def _news(call: _CallContext, arguments: dict[str, object]) -> _FoundAnswer:
    """News go on page by page with our cursors, and from then on with the cursor that the answer itself brought."""
    mark = read(str(arguments.get("cursor", "")))
    answer = call.shelf.get(mark) if mark else call.anew(arguments)
    if isinstance(answer, LazyAnswer) or (answer is not None and "cursor" not in answer.tables):
        raise CursorError("This cursor belongs to another tool: pass one that whats_new gave, or none.")
    if answer is None:
        raise CursorError("The rest of these news is no longer kept: call again with the cursor before this one.")
    if mark:
        check_row(mark, answer)
    asked = mark.question if mark else question(call.spec.name, arguments)
    closing = str(answer.tables["cursor"]["cursor"][0])
    rest = {name: table for name, table in answer.tables.items() if name != "cursor"}
    found = _FoundAnswer(asked, replace(answer, tables=rest), mark.row if mark else 0, closing)
    call.shelf.put(asked, answer)
    return found


def _resumed(call: _CallContext, arguments: dict[str, object], mark: CursorState) -> Answer | LazyAnswer:
    """The answer that a cursor goes on with: the one that was kept, else the same anew if the data did not move on."""
    kept = call.shelf.get(mark)
    if kept is not None:
        now = call.database.refresh()
        moved = f"the data moved on to version {now.version}; this goes on with version {mark.version}"
        new = [w for w in now.warnings if w not in kept.basis.warnings]
        new += [moved] if now.version != mark.version else []
        return kept.resting_on(warnings=(*new, *kept.basis.warnings)) if new else kept
    answer = call.anew(arguments)
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
