"""The test host as an application: its page, the App under a host's content policy, and the server's tools behind `/call`."""

from __future__ import annotations

import subprocess
from pathlib import Path

from mcp import Client
from mcp.client.extension import advertise
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from support.npm import binary

from sweeplens_mcp.protocol.app import build_server
from sweeplens_mcp.settings import Settings

__all__ = ["POLICIES", "host_app"]

UI = "io.modelcontextprotocol/ui"
PAGE = "ui://sweeplens/chart"
POLICIES = {
    "as the extension says": (
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; media-src data:; "
        "connect-src 'none'; frame-src 'none'; object-src 'none'; base-uri 'none'"
    ),
    "no images either": "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; sandbox allow-scripts",
}
_HOST = """<!doctype html><html lang="en"><head><title>Test host</title>
<link rel="icon" href="data:,"></head><body><main><h1>Test host</h1>
<iframe title="Chart" sandbox="allow-scripts" style="width: 860px; height: 700px; border: 0"></iframe></main>
<script src="/host.js" type="module"></script></body></html>"""


def host_app(root: Path, policy: str, packages: Path) -> Starlette:
    """The application of a host over a server that serves a folder."""
    script = _bundled(packages)

    async def call(request: Request) -> Response:
        asked = await request.json()
        async with Client(build_server(Settings((str(root),))), extensions=[_apps()]) as client:
            result = await client.call_tool(asked["name"], asked.get("arguments") or {})
        return JSONResponse(result.model_dump(mode="json", by_alias=True, exclude_none=True))

    async def app(_: Request) -> Response:
        async with Client(build_server(Settings((str(root),))), extensions=[_apps()]) as client:
            (page,) = (await client.read_resource(PAGE)).contents
        return HTMLResponse(page.text, headers={"Content-Security-Policy": policy})  # type: ignore[union-attr]

    async def host(_: Request) -> Response:
        return HTMLResponse(_HOST)

    async def host_script(_: Request) -> Response:
        return Response(script, media_type="text/javascript")

    routes = [Route("/host", host), Route("/host.js", host_script), Route("/app", app)]
    return Starlette(routes=[*routes, Route("/call", call, methods=["POST"])])


def _apps():
    return advertise(UI, {"mimeTypes": ["text/html;profile=mcp-app"]})


def _bundled(packages: Path) -> bytes:
    """The host's script with the packages that it imports."""
    made = packages.parent / "host.js"
    source = packages.parent / "host.mjs"
    source.write_text(Path(__file__).with_name("host.mjs").read_text(encoding="utf-8"), encoding="utf-8")
    command = [
        binary(packages, "esbuild"),
        source,
        "--bundle",
        "--format=esm",
        f"--outfile={made}",
        "--log-level=error",
    ]
    subprocess.run(command, check=True, timeout=60)
    return made.read_bytes()
