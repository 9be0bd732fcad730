"""Registers our tools with the SDK: portable schemas, argument errors as sentences, errors translated in one place.

register(spec, state) -> SweepTool      its `run` checks arguments, waits for the database and answers in a worker thread
"""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Coroutine
from typing import Any, cast

import anyio
from mcp.server.apps import client_supports_apps
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from mcp.server.mcpserver.utilities.func_metadata import ArgModelBase, FuncMetadata
from mcp.shared.exceptions import MCPError
from mcp.types import CallToolResult, ContentBlock, ImageContent, TextContent, ToolAnnotations
from pydantic import PrivateAttr

from sweeplens.engines.spark_progress import reporting
from sweeplens.errors import SweeplensError
from sweeplens_mcp.execution.arguments import argument_schema, checked_arguments
from sweeplens_mcp.execution.state import ServerState
from sweeplens_mcp.execution.tool_call import answer_call
from sweeplens_mcp.execution.worker_pool import CallAbandonedError
from sweeplens_mcp.grants import current_grant_key
from sweeplens_mcp.protocol.said_warnings import said_once, session_state
from sweeplens_mcp.protocol.schemas import output_schema
from sweeplens_mcp.render.answers import ToolReply
from sweeplens_mcp.render.cells import clip
from sweeplens_mcp.tools.chart_id import chart_id
from sweeplens_mcp.tools.spec import ToolSpec

__all__ = ["SweepTool", "register"]

_ERROR_CHARACTERS = 1500
_HEARTBEAT_SECONDS = 1.0
_log = logging.getLogger(__name__)


class SweepTool(Tool):
    """A tool of this server. ``run`` answers in both channels, or raises ToolError with a sentence for the model."""

    _spec: ToolSpec = PrivateAttr()
    _state: ServerState = PrivateAttr()

    async def run(self, arguments: dict[str, Any], context: Context[Any, Any], convert_result: bool = False) -> Any:
        """Answers one call."""
        try:
            given = checked_arguments(self._spec, arguments)
            progress = CallProgress(context)
            answer = await self._answer(self._state.for_caller(), given, progress)
            answer = said_once(answer, session_state(context.session))
        except SweeplensError as error:
            raise ToolError(clip(str(error), _ERROR_CHARACTERS)) from error
        except MCPError:
            raise
        except Exception as error:  # the protocol's boundary: a fault of the server tells a client nothing of its parts
            _log.exception("%s failed unexpectedly", self._spec.name)
            raise ToolError(_fault(self._spec.name, error)) from error
        content: list[ContentBlock] = [TextContent(type="text", text=answer.text)]
        if answer.image:
            data = base64.b64encode(answer.image).decode()
            content.insert(0, ImageContent(type="image", data=data, mime_type="image/png"))
        structured = answer.structured
        if self._spec.page and not self._spec.of_page and client_supports_apps(context):
            structured = {"chart_id": chart_id(given)}
        return CallToolResult(content=content, structured_content=structured)

    async def _answer(self, state: ServerState, given: dict[str, Any], progress: CallProgress) -> ToolReply:
        """Computes the answer from the caller's state, and reports progress every second."""
        database = await state.database(progress.report)
        spec = self._spec
        key = (state, spec.name, json.dumps(given, sort_keys=True, default=str))
        work = state.worker_pool.run(
            key,
            lambda: answer_call(spec, database, given, state.answer_cache, state.answer_function(spec)),
            heavy=spec.heavy,
            grant=current_grant_key(),
        )
        answer: ToolReply | SweeplensError = CallAbandonedError("The call was cancelled.")
        with reporting(progress.on_stage):
            async with anyio.create_task_group() as group:
                group.start_soon(progress.heartbeat)
                answer = await _caught(work)
                group.cancel_scope.cancel()
        if isinstance(answer, SweeplensError):
            raise answer
        return answer


def register(spec: ToolSpec, state: ServerState) -> SweepTool:
    """Makes the SDK's tool for a spec, which answers from a state."""
    tool = SweepTool(
        fn=spec.function,
        name=spec.name,
        title=spec.title,
        description=spec.description,
        parameters=argument_schema(spec),
        meta=_page_of(spec),
        fn_metadata=FuncMetadata(
            arg_model=ArgModelBase, output_schema=None if spec.picture else output_schema(spec.renderer)
        ),
        is_async=True,
        context_kwarg=None,
        annotations=ToolAnnotations(
            title=spec.title, read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
        ),
    )
    tool._spec, tool._state = spec, state  # pyright: ignore[reportPrivateUsage]
    return tool


def _page_of(spec: ToolSpec) -> dict[str, Any] | None:
    """Returns the metadata for clients with MCP Apps: the page that shows an answer, and whether only the page calls the tool."""
    if not spec.page:
        return None
    return {"ui": {"resourceUri": spec.page, "visibility": ["app"] if spec.of_page else ["model", "app"]}}


class CallProgress:
    """Progress of one call. Reported values only grow, as the protocol requires."""

    def __init__(self, context: Context[Any, Any]) -> None:
        self._context = context
        self._last = 0.0
        self._stage = ""

    def on_stage(self, done: int, total: int, what: str) -> None:
        """Notes the progress of a job on a cluster; called by the thread that waits for it."""
        self._stage = f", {what}, {done:,} of {total:,} tasks"

    async def report(self, done: float, total: float | None, what: str) -> None:
        """Sends progress to the client, if it asked for it."""
        self._last = max(done, self._last + 0.001)
        await self._context.report_progress(self._last, total, clip(what, 200))

    async def heartbeat(self) -> None:
        """Reports every second that the call is still running, and which stage of its job on a cluster."""
        seconds = 0.0
        while True:
            await anyio.sleep(_HEARTBEAT_SECONDS)
            seconds += _HEARTBEAT_SECONDS
            await self.report(self._last + 1, None, f"working, {seconds:.0f} s{self._stage}")


def _fault(tool: str, error: Exception) -> str:
    """What a client hears of an unexpected error; the text of the error itself may name files."""
    while isinstance(error, ExceptionGroup):
        error = cast("ExceptionGroup[Exception]", error).exceptions[0]
    return f"{tool} failed because of a fault in the server ({type(error).__name__}). The server's log says more."


async def _caught(work: Coroutine[Any, Any, ToolReply]) -> ToolReply | SweeplensError:
    """Returns an error as a value: raised inside a task group it would become an exception group."""
    try:
        return await work
    except SweeplensError as error:
        return error
