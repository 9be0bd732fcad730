"""What a tool is: a function from the database and flat arguments to an answer, and how its answer is shown.

The function's docstring is the description that clients send to the model; its first line must do alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

from sweeplens.answers import Answer, LazyAnswer
from sweeplens_mcp.render.answers import Draw, draw_tables

if TYPE_CHECKING:
    from sweeplens.charts import Chart

__all__ = ["Made", "ToolSpec"]

Made: TypeAlias = "Answer | LazyAnswer | Chart"
"""What a tool's function gives."""


class ToolSpec(Struct, frozen=True):
    """``paged``: limit and cursor are added to the function's arguments, and its answers go on page by page.

    ``news``: ``cursor`` is its own argument, and the last page gives the cursor of table ``cursor`` for what comes next.
    ``heavy``: it may work for long, and waits in the queue of its like instead of standing before light calls.
    ``picture``: its answer is a chart. ``page``: the address of the page that clients with MCP Apps show it on.
    ``of_page``: it is called by that page alone, never by a model, and gives the chart's data.
    ``apart``: a worker process may do it; SQL has processes of its own, with bounds of their own.
    """

    title: str
    function: Callable[..., Made]
    draw: Draw = draw_tables
    paged: bool = True
    heavy: bool = False
    news: bool = False
    apart: bool = True
    picture: bool = False
    page: str = ""
    of_page: bool = False

    @property
    def name(self) -> str:
        """The tool's name, which is the function's."""
        return self.function.__name__

    @property
    def description(self) -> str:
        """The function's docstring without indentation, its lines joined."""
        text = inspect.getdoc(self.function) or ""
        return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))
