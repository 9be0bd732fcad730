"""Requests to the REST interface of an MLflow tracking server: paging, retries, credentials, and limits on what it may answer.

Credentials are sent to the server that was named and to no other: they do not follow a redirection.
"""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import SplitResult, unquote, urlencode

from sweeplens.cancellation import checkpoint
from sweeplens.errors import PlaceError

if TYPE_CHECKING:
    from ssl import SSLContext
    from urllib.error import HTTPError
    from urllib.request import Request

__all__ = ["MissingApiError", "MlflowRequests"]

_API = "api/2.0/mlflow"
_SECONDS = 30.0
_TRIES = 3
_MOST_BYTES = 256 << 20  # of one answer
_MOST_PAGES = 100_000


class MissingApiError(PlaceError):
    """There is no interface of MLflow at this address."""


class MlflowRequests:
    """The interface below ``path`` of a server. ``shown``: its address in messages."""

    def __init__(self, address: SplitResult, path: str, shown: str) -> None:
        host = address.netloc.rpartition("@")[2]
        self._base = f"{address.scheme}://{host}/{path + '/' if path else ''}{_API}"
        self._shown = shown
        self._login = _login(address)
        self._tls = _tls_context() if address.scheme == "https" else None

    def pages(self, call: str, body: Mapping[str, object], items: str) -> Iterator[Mapping[str, Any]]:
        """Yields the items of all pages of a search."""
        token = ""
        for _ in range(_MOST_PAGES):
            page = self._answer(call, data=json.dumps({**body, **({"page_token": token} if token else {})}).encode())
            yield from cast("list[Mapping[str, Any]]", page.get(items) or [])
            token = str(page.get("next_page_token") or "")
            if not token:
                return

    def pages_by_get(self, call: str, query: Mapping[str, str], items: str) -> Iterator[Mapping[str, Any]]:
        """Yields the items of all pages of a question."""
        token = ""
        for _ in range(_MOST_PAGES):
            more = {"page_token": token} if token else dict[str, str]()
            page = self._answer(f"{call}?{urlencode({**query, **more})}")
            yield from cast("list[Mapping[str, Any]]", page.get(items) or [])
            token = str(page.get("next_page_token") or "")
            if not token:
                return

    def _answer(self, call: str, data: bytes | None = None) -> Mapping[str, Any]:
        """Returns one answer; asks again after errors that pass."""
        from http.client import HTTPException
        from urllib.error import HTTPError, URLError

        for attempt in range(1, _TRIES + 1):
            checkpoint()
            try:
                return self._asked(call, data)
            except HTTPError as error:
                with error:
                    passes = error.code == 429 or error.code >= 500
                    if not passes or attempt == _TRIES:
                        raise self._refused(error) from error
            except (URLError, HTTPException, OSError) as error:
                if attempt == _TRIES:
                    reason = getattr(error, "reason", None) or error
                    raise PlaceError(
                        f"{self._shown} cannot be reached ({reason}): check the address, and that it runs."
                    ) from error
            time.sleep(0.2 * attempt)
        raise AssertionError

    def _asked(self, call: str, data: bytes | None) -> Mapping[str, Any]:
        from urllib.request import urlopen

        with urlopen(self._request(call, data), timeout=_SECONDS, context=self._tls) as reply:
            content = cast("bytes", reply.read(_MOST_BYTES + 1))
        if len(content) > _MOST_BYTES:
            raise PlaceError(f"{self._shown} answers more than {_MOST_BYTES >> 20} MB at once: not read.")
        try:
            answer = cast("object", json.loads(content))
        except ValueError as error:
            raise MissingApiError(f"{self._shown} does not answer as an MLflow tracking server.") from error
        if not isinstance(answer, dict):
            raise MissingApiError(f"{self._shown} does not answer as an MLflow tracking server.")
        return cast("Mapping[str, Any]", answer)

    def _request(self, call: str, data: bytes | None) -> Request:
        from urllib.request import Request

        request = Request(f"{self._base}/{call}", data=data)
        if data is not None:
            request.add_header("Content-Type", "application/json")
        if self._login:
            request.add_unredirected_header("Authorization", self._login)
        return request

    def _refused(self, error: HTTPError) -> PlaceError:
        if error.code in (404, 405):
            return MissingApiError(f"{self._shown} does not answer as an MLflow tracking server ({error.code}).")
        if error.code in (401, 403):
            return PlaceError(
                f"{self._shown} refuses to answer ({error.code} {error.reason}): set MLFLOW_TRACKING_TOKEN, or"
                " MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, to those of a user who may read there."
            )
        return PlaceError(f"{self._shown} answers {error.code} {error.reason}.")


def _login(address: SplitResult) -> str:
    """Returns the header that proves who asks: from the address, else from MLflow's variables."""
    user, password = unquote(address.username or ""), unquote(address.password or "")
    if not user:
        token = os.environ.get("MLFLOW_TRACKING_TOKEN", "")
        if token:
            return f"Bearer {token}"
        user, password = (os.environ.get(f"MLFLOW_TRACKING_{part}", "") for part in ("USERNAME", "PASSWORD"))
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}" if user else ""


def _tls_context() -> SSLContext:
    """Returns the context for https, with the certificates that MLflow's variables name."""
    import ssl

    context = ssl.create_default_context(cafile=os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or None)
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() == "true":
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
