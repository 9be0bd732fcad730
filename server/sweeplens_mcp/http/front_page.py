"""`GET /`: a page that says what this server is and how to connect, for a person who opened its address in a browser.

It holds nothing of the experiments, not even the names of folders: everybody may read it, with a token or without.
"""

from __future__ import annotations

from html import escape
from importlib.metadata import version
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from sweeplens_mcp.settings import HTTP_PATH

if TYPE_CHECKING:
    from mcp.server import MCPServer

    from sweeplens_mcp.execution.state import ServerState

__all__ = ["add_front_page", "connecting"]

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem}"
    "pre{overflow:auto;padding:.7rem;background:#8882}"
)


def add_front_page(server: MCPServer[ServerState], url: str, *, has_tokens: bool) -> None:
    """Register ``/``. ``url``: where this server is reached; ``has_tokens``: whether callers must show one."""

    async def front_page(request: Request) -> Response:
        about = f"sweeplens {version('sweeplens')}: an MCP server. It answers questions about folders of deep-learning experiments."
        token = (
            "Each request needs a bearer token, which the person who runs this server gives.\n" if has_tokens else ""
        )
        if "text/html" not in request.headers.get("accept", ""):
            text = f"{about}\nIts address for MCP clients is {url}{HTTP_PATH}\n{token}\n{connecting(url, has_tokens=has_tokens)}\n"
            return PlainTextResponse(text, headers=_HEADERS)
        return HTMLResponse(_page(about, token, url, has_tokens), headers=_HEADERS)

    server.custom_route("/", methods=["GET"], include_in_schema=False)(front_page)


def connecting(url: str, *, has_tokens: bool) -> str:
    """Lines that connect usual clients to an address."""
    header = ' --header "Authorization: Bearer TOKEN"' if has_tokens else ""
    entry = '{"name":"sweeplens","type":"http","url":"' + url + HTTP_PATH + '"}'
    return "\n".join(
        (
            f"claude mcp add --transport http sweeplens {url}{HTTP_PATH}{header}",
            f"code --add-mcp '{entry}'",
            f"codex mcp add sweeplens --url {url}{HTTP_PATH}" + (" --bearer-token-env-var TOKEN" if has_tokens else ""),
            f"gemini mcp add --transport http sweeplens {url}{HTTP_PATH}{header}",
        )
    )


def _page(about: str, token: str, url: str, has_tokens: bool) -> str:
    commands = escape(connecting(url, has_tokens=has_tokens))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>sweeplens</title><style>{_STYLE}</style>'
        f"<h1>sweeplens</h1><p>{escape(about)}</p><p>Its address for MCP clients is "
        f"<code>{escape(url + HTTP_PATH)}</code>. {escape(token)}</p><h2>Connect</h2><pre>{commands}</pre>"
        '<p>In this browser: <a href="/ui">/ui</a>.</p>\n'
        '<p>State: <a href="/healthz">/healthz</a>, <a href="/readyz">/readyz</a>.</p></html>\n'
    )
