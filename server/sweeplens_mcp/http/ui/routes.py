"""`add_ui`: the routes of `/ui` and the middleware before them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING

import anyio.to_thread
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sweeplens.errors import SweeplensError
from sweeplens_mcp.http.ui.browser_checks import PATH
from sweeplens_mcp.http.ui.events import EventStreams
from sweeplens_mcp.http.ui.login import Login
from sweeplens_mcp.http.ui.pages import Page, comparison_of, report_of, run_of, runs_of
from sweeplens_mcp.http.ui.site import HEADERS, asset, page_response
from sweeplens_mcp.http.ui.ui_caller import RecentAnswers, UiCaller, ui_caller_of, while_connected

if TYPE_CHECKING:
    from mcp.server import MCPServer

    from sweeplens_mcp.execution.state import ServerState
    from sweeplens_mcp.http.authentication import HttpAccess
    from sweeplens_mcp.protocol.subscriptions import ChangeFeed

__all__ = ["add_ui"]

PageMaker = Callable[[UiCaller, QueryParams], Awaitable[Page]]
_PAGES: dict[str, PageMaker] = {"": report_of, "/runs": runs_of, "/run": run_of, "/compare": comparison_of}


def add_ui(server: MCPServer[ServerState], state: ServerState, feed: ChangeFeed, access: HttpAccess | None) -> None:
    """Registers the pages. ``access``: who may read, None: everybody who reaches this server."""
    login, events, recent = Login(access), EventStreams(feed), RecentAnswers()

    def route(path: str, handler: Callable[[Request], Awaitable[Response]], method: str = "GET") -> None:
        server.custom_route(f"{PATH}{path}", methods=[method], include_in_schema=False)(handler)

    for path, maker in _PAGES.items():
        route(path, partial(_page, state, recent, login, maker))
    route("/events", partial(_for_the_known, login, events.stream))
    route("/assets/{name}", _asset)
    route("/login", login.show)
    route("/login", login.enter, "POST")
    route("/logout", login.leave, "POST")


async def _page(
    state: ServerState, recent: RecentAnswers, login: Login, maker: PageMaker, request: Request
) -> Response:
    if login.is_needed(request):
        return RedirectResponse(f"{PATH}/login", HTTPStatus.SEE_OTHER, HEADERS)

    async def make() -> Page:
        return await maker(await ui_caller_of(state, recent), request.query_params)

    found = await while_connected(request, make)
    if isinstance(found, SweeplensError):
        found = Page("sections.html", "Experiments", said=str(found), status=HTTPStatus.SERVICE_UNAVAILABLE)
    return await anyio.to_thread.run_sync(_rendered, found, login.access is not None)


def _rendered(page: Page, can_leave: bool) -> Response:
    """The page as HTML, with its colours and a way to log out."""
    from sweeplens.charts.page import theme_data
    from sweeplens.charts.rendering import can_render, renderer_hint

    missing = "" if can_render() else f"Without charts: the renderer is not installed. {renderer_hint()}"
    values = {"page": page, "can_leave": can_leave, "missing": missing, "themes": theme_data()}
    return page_response(page.template, status=page.status, **values)


async def _for_the_known(login: Login, handler: Callable[[Request], Awaitable[Response]], request: Request) -> Response:
    """What only callers with a token get."""
    return Response("Log in first.", 401, HEADERS) if login.is_needed(request) else await handler(request)


async def _asset(request: Request) -> Response:
    return await anyio.to_thread.run_sync(asset, request.path_params["name"])
