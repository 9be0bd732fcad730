"""The form for a token, where the server has tokens. The token goes into a cookie that scripts cannot read.

A browser sends the cookie to `/ui` only, and never with a request that another site began. A token is never part of an address.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from urllib.parse import parse_qs

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sweeplens_mcp.http.authentication import HttpAccess
from sweeplens_mcp.http.ui.browser_checks import COOKIE, PATH, cookie_of
from sweeplens_mcp.http.ui.site import HEADERS, page_response

__all__ = ["Login"]

_MOST_BYTES = 64 * 1024
_WRONG = "This token is not known here, has expired, or does not allow reading."


class Login(Struct, frozen=True):
    """The login of a server; without ``access`` nobody needs one."""

    access: HttpAccess | None

    def is_needed(self, request: Request) -> bool:
        """Whether this caller must log in first."""
        if self.access is None:
            return False
        user = request.scope.get("user")
        return not (isinstance(user, AuthenticatedUser) and self._allows(user.scopes))

    async def show(self, request: Request) -> Response:
        """`GET /ui/login`: the form."""
        if not self.is_needed(request):
            return RedirectResponse(PATH, HTTPStatus.SEE_OTHER, HEADERS)
        return page_response("login.html", wrong="")

    async def enter(self, request: Request) -> Response:
        """`POST /ui/login`: sets the cookie if the token is right."""
        token = await _typed_token(request)
        if self.access is None:
            return RedirectResponse(PATH, HTTPStatus.SEE_OTHER, HEADERS)
        known = await self.access.verifier.verify_token(token) if token else None
        if known is None or not self._allows(known.scopes):
            return page_response("login.html", status=HTTPStatus.UNAUTHORIZED, wrong=_WRONG)
        answer = RedirectResponse(PATH, HTTPStatus.SEE_OTHER, HEADERS)
        secure = request.url.scheme == "https"
        answer.set_cookie(COOKIE, cookie_of(token), path=PATH, secure=secure, httponly=True, samesite="strict")
        return answer

    async def leave(self, _: Request) -> Response:
        """`POST /ui/logout`: removes the cookie."""
        answer = RedirectResponse(f"{PATH}/login", HTTPStatus.SEE_OTHER, HEADERS)
        answer.delete_cookie(COOKIE, path=PATH, httponly=True, samesite="strict")
        return answer

    def _allows(self, scopes: Sequence[str]) -> bool:
        needed = (self.access.settings.required_scopes if self.access else None) or []
        return all(scope in scopes for scope in needed)


async def _typed_token(request: Request) -> str:
    """The token in the form's body; "" for a body that holds none, or is too large."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _MOST_BYTES:
            return ""
    fields = parse_qs(body.decode("ascii", "replace"), max_num_fields=10)
    return fields.get("token", [""])[0].strip()
