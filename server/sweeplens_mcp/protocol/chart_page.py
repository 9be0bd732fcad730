"""The page on which clients with MCP Apps show charts: one HTML file that needs no network, read once and kept.

Vega's script comes from the renderer's package. Where that is not installed the page says how to get it, and the answer of
`plot` stays what it is for everybody else.
"""

from __future__ import annotations

from functools import cache

import anyio.to_thread
from mcp.server.apps import APP_MIME_TYPE, Apps, ResourceCsp
from mcp.server.mcpserver.resources import Resource

from sweeplens_mcp.tools import CHART_PAGE

__all__ = ["apps_with_charts"]


class ChartPage(Resource):
    """The page, made when it is first read."""

    async def read(self) -> str:
        """The HTML."""
        return await anyio.to_thread.run_sync(_page)


def apps_with_charts() -> Apps:
    """The extension with its one page, which may fetch nothing from anywhere."""
    apps = Apps()
    csp = ResourceCsp(connect_domains=[], resource_domains=[], frame_domains=[]).model_dump(
        by_alias=True, exclude_none=True
    )
    apps.add_resource(
        ChartPage(
            uri=CHART_PAGE,
            name="chart",
            title="Chart",
            description="The page on which clients with MCP Apps show what plot draws.",
            mime_type=APP_MIME_TYPE,
            meta={"ui": {"csp": csp, "prefersBorder": True}},
        )
    )
    return apps


@cache
def _page() -> str:
    from sweeplens.charts.rendering import can_render, javascript, renderer_hint
    from sweeplens.pages import made_page

    drawn = can_render()
    missing = "" if drawn else f"The renderer is not installed. {renderer_hint()}"
    return made_page(
        "app.html", bundle=javascript() if drawn else "", script="app.js", title="Chart", missing=missing, themes="{}"
    )
