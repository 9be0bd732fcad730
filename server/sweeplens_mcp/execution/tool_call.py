"""Runs one tool call: from the arguments to one page of the answer.

    answer_call(spec, database, arguments, answer_cache)    used by the server, the command line and the tests

It is synchronous and knows nothing of the protocol. It runs in a worker thread of the server, or in the main thread of
`sweeplens call`. A parameter decides whether the answer is computed in this thread or in a worker process.
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
from sweeplens_mcp.tools.spec import ToolResult, ToolSpec

if TYPE_CHECKING:
    from sweeplens.charts import Chart
    from sweeplens.experiment_db import ExperimentDB

__all__ = ["AnswerFunction", "answer_call", "answer_here"]

AnswerFunction = Callable[[ToolSpec, "ExperimentDB", Mapping[str, object]], ToolResult]
"""Computes a tool's answer from the tool's own arguments, without paging."""


class _FoundAnswer(Struct, frozen=True):
    """An answer with its question's hash, the first row of this page, and the cursor after the last page."""

    asked: str
    answer: Answer | LazyAnswer
    start: int = 0
    closing: str = ""


def answer_here(spec: ToolSpec, database: ExperimentDB, arguments: Mapping[str, object]) -> ToolResult:
    """Computes the answer in this thread."""
    return spec.function(database, **arguments)


def answer_call(
    spec: ToolSpec,
    database: ExperimentDB,
    arguments: Mapping[str, object],
    answer_cache: AnswerCache,
    ask: AnswerFunction = answer_here,
) -> ToolReply:
    """Returns the page that the arguments ask for. Raises SweeplensError with a sentence for the caller."""
    call = _CallContext(spec, database, answer_cache, ask)
    try:
        return _page(call, arguments)
    except OSError as error:  # the store may be deleted, or stop responding, at any time
        if isinstance(error, SweeplensError):
            raise
        return _page_after_reload(call, arguments, error)


def _page_after_reload(call: _CallContext, arguments: Mapping[str, object], error: OSError) -> ToolReply:
    """Reloads the experiments and makes the page again; data that the store lost are read from the folders."""
    call.answer_cache.forget_lazy_answers()
    call.database.load_experiments()
    try:
        return _page(call, arguments)
    except OSError as again:
        if isinstance(again, SweeplensError):
            raise
        raise StoreError(
            f"The store cannot be read: {error}. `sweeplens doctor` shows where it is; you can delete it."
        ) from again


def _page(call: _CallContext, arguments: Mapping[str, object]) -> ToolReply:
    spec, own = call.spec, dict(arguments)
    if spec.picture:
        draw = data_reply if spec.of_page else picture_reply
        return draw(call.chart(own), call.database.config.max_answer_bytes)
    limit = _limit(own.pop("limit", 0))
    found = (_news_answer if spec.news else _paged_answer)(call, own)
    asked, version = found.asked, found.answer.basis.data_version

    def cursor_at(row: int) -> str:
        return encode(CursorState(asked, version, row))

    pages = cursor_at if spec.paged or spec.news else None
    page = PageRequest(call.database.config.max_answer_bytes, found.start, limit, pages, found.closing)
    made = reply(found.answer, page, spec.renderer)
    if made.next_row is not None and not spec.news:
        call.answer_cache.put(asked, found.answer)
    return made


class _CallContext(Struct, frozen=True):
    """A tool, the database, the cache of earlier answers, and the function that computes new ones."""

    spec: ToolSpec
    database: ExperimentDB
    answer_cache: AnswerCache
    ask: AnswerFunction

    def compute(self, arguments: Mapping[str, object]) -> Answer | LazyAnswer:
        """Computes the answer."""
        return cast("Answer | LazyAnswer", self.ask(self.spec, self.database, arguments))

    def chart(self, arguments: Mapping[str, object]) -> Chart:
        """Computes the answer of a tool that draws."""
        return cast("Chart", self.ask(self.spec, self.database, arguments))


def _paged_answer(call: _CallContext, arguments: dict[str, object]) -> _FoundAnswer:
    cursor = str(arguments.pop("cursor", ""))
    asked = question(call.spec.name, arguments)
    if not cursor:
        return _FoundAnswer(asked, call.compute(arguments))
    state = decode(cursor, asked)
    answer = _continued_answer(call, arguments, state)
    check_row(state, answer)
    return _FoundAnswer(asked, answer, state.row)


def _news_answer(call: _CallContext, arguments: dict[str, object]) -> _FoundAnswer:
    """Pages of `whats_new` use our cursors; the last page returns the cursor of the answer itself."""
    state = read(str(arguments.get("cursor", "")))
    answer = call.answer_cache.get(state) if state else call.compute(arguments)
    if isinstance(answer, LazyAnswer) or (answer is not None and "cursor" not in answer.tables):
        raise CursorError("This cursor belongs to another tool: pass one that whats_new returned, or none.")
    if answer is None:
        raise CursorError("The rest of this answer is no longer cached: call again with the cursor before this one.")
    if state:
        check_row(state, answer)
    asked = state.question if state else question(call.spec.name, arguments)
    closing = str(answer.tables["cursor"]["cursor"][0])
    rest = {name: table for name, table in answer.tables.items() if name != "cursor"}
    found = _FoundAnswer(asked, replace(answer, tables=rest), state.row if state else 0, closing)
    call.answer_cache.put(asked, answer)
    return found


def _continued_answer(call: _CallContext, arguments: dict[str, object], state: CursorState) -> Answer | LazyAnswer:
    """Returns the answer that a cursor belongs to: from the cache, else computed again if the data version is the same."""
    kept = call.answer_cache.get(state)
    if kept is not None:
        now = call.database.refresh()
        moved = f"the data changed to version {now.version}; this page still shows version {state.version}"
        new = [w for w in now.warnings if w not in kept.basis.warnings]
        new += [moved] if now.version != state.version else []
        return kept.resting_on(warnings=(*new, *kept.basis.warnings)) if new else kept
    answer = call.compute(arguments)
    if answer.basis.data_version != state.version:
        raise CursorError(
            f"The data changed from version {state.version} to {answer.basis.data_version}, and that answer "
            "is no longer cached: call again without the cursor."
        )
    return answer


def _limit(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise InputError(f"limit {value!r} is not a number of rows: pass 1 or more, or 0 for as many as fit.")
    return value
