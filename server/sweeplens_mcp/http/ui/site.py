"""What all pages of `/ui` share: templates, headers, and the files that they load.

Every text from logs is escaped by the templates. The policy lets a page run the files of this server and nothing else.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from starlette.responses import HTMLResponse, Response

from sweeplens.pages import page_environment, page_file

__all__ = ["HEADERS", "asset", "page_response"]

_FOLDER = Path(__file__).parent / "templates"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_OF_THE_LIBRARY = ("chart.js", "page.js", "page.css")
_OURS = ("live.js", "ui.css")
_BUNDLE = "vega.js"
_DAY_SECONDS = 86_400


def page_response(template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A page from a template."""
    files = {name: f"/ui/assets/{name}?v={_digest(name)}" for name in (*_OF_THE_LIBRARY, *_OURS, _BUNDLE)}
    text = _environment().get_template(template).render(files=files, **values)
    return HTMLResponse(text, status, HEADERS)


def asset(name: str) -> Response:
    """A script or style; 404 for any other name."""
    if name not in (*_OF_THE_LIBRARY, *_OURS, _BUNDLE):
        return Response("There is no such file.", 404, HEADERS, "text/plain")
    kind = "text/css" if name.endswith(".css") else "text/javascript"
    headers = HEADERS | {"Cache-Control": f"public, max-age={_DAY_SECONDS}"}
    return Response(_content(name), 200, headers, kind)


@cache
def _environment() -> Any:
    return page_environment(_FOLDER)


@cache
def _content(name: str) -> str:
    if name == _BUNDLE:
        return _vega()
    return page_file(name) if name in _OF_THE_LIBRARY else (_FOLDER / name).read_text(encoding="utf-8")


def _vega() -> str:
    """Vega's script; empty where it is not installed."""
    from sweeplens.charts.rendering import can_render, javascript

    return javascript() if can_render() else ""


@cache
def _digest(name: str) -> str:
    """Changes with the content, so that a browser may keep a file; of Vega's script the version of its package says so."""
    if name != _BUNDLE:
        return hashlib.sha256(_content(name).encode()).hexdigest()[:12]
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("vl-convert-python")
    except PackageNotFoundError:
        return "none"
