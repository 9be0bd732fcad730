"""`ToolSpec`: a tool as data. It holds a function from the database and flat arguments to an answer, and how to render that.

The function's docstring is the description that clients send to the model; its first line must be enough by itself.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

from sweeplens.answers import Answer, LazyAnswer
from sweeplens_mcp.render.answers import Renderer, render_tables

if TYPE_CHECKING:
    from sweeplens.charts import Chart

__all__ = ["ToolResult", "ToolSpec"]

ToolResult: TypeAlias = "Answer | LazyAnswer | Chart"
"""The result of a tool's function."""


class ToolSpec(Struct, frozen=True):
    """A tool. ``paged``: the arguments limit and cursor are added to the function's own, and answers have pages.

    ``news``: ``cursor`` is an argument of the function; the last page returns the cursor from table ``cursor``.
    ``heavy``: a call may take long, so it waits in the queue of long calls and does not delay short ones.
    ``picture``: the answer is a chart. ``page``: the address of the page on which clients with MCP Apps show it.
    ``of_page``: only that page calls it, never a model; it returns the chart's data.
    ``in_process``: a worker process may run it. SQL is not run there: it has processes with limits of their own;
    nor is `whats_new`, whose cursors the server's store keeps.
    """

    title: str
    function: Callable[..., ToolResult]
    renderer: Renderer = render_tables
    paged: bool = True
    heavy: bool = False
    news: bool = False
    in_process: bool = True
    picture: bool = False
    page: str = ""
    of_page: bool = False

    @property
    def name(self) -> str:
        """The tool's name: that of its function."""
        return self.function.__name__

    @property
    def description(self) -> str:
        """The function's docstring without indentation, with the lines of each paragraph joined."""
        text = inspect.getdoc(self.function) or ""
        return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))
