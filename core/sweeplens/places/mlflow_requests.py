"""Requests to the REST interface of an MLflow tracking server: paging, retries, credentials, and limits on what it may answer.

Requests go to the server that was named and to no other (`timed_requests`).
"""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import SplitResult, unquote, urlencode

from sweeplens.cancellation import checkpoint
from sweeplens.errors import PlaceError
from sweeplens.places.timed_requests import fetched

if TYPE_CHECKING:
    from ssl import SSLContext
    from urllib.error import HTTPError
    from urllib.request import Request

__all__ = ["MissingApiError", "MlflowRequests"]

_API = "api/2.0/mlflow"
_TRIES = 3
_MOST_BYTES = 512 << 20  # of all pages of one question
_MOST_SECONDS = 1800.0  # for all pages of one question


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
        return self._pages(lambda more: (call, json.dumps({**body, **more}).encode()), items)

    def pages_by_get(self, call: str, query: Mapping[str, str], items: str) -> Iterator[Mapping[str, Any]]:
        """Yields the items of all pages of a question."""
        return self._pages(lambda more: (f"{call}?{urlencode({**query, **more})}", None), items)

    def _pages(
        self, ask: Callable[[Mapping[str, str]], tuple[str, bytes | None]], items: str
    ) -> Iterator[Mapping[str, Any]]:
        """Yields the items of all pages. Raises PlaceError for pages without end, and for what MLflow does not answer."""
        until, size = time.monotonic() + _MOST_SECONDS, 0
        tokens = {""}
        more: dict[str, str] = {}
        while True:
            content = self._answer(*ask(more))
            size += len(content)
            if size > _MOST_BYTES or time.monotonic() > until:
                raise PlaceError(
                    f"{self._shown} answers one question with more than {_MOST_BYTES >> 20} MB, or for longer than"
                    f" {_MOST_SECONDS / 60:.0f} minutes: not read."
                )
            page = self._parsed(content)
            yield from self._listed(page.get(items))
            token = str(page.get("next_page_token") or "")
            if not token:
                return
            if token in tokens:
                raise PlaceError(f"{self._shown} answers the same page again and again: not read.")
            tokens.add(token)
            more = {"page_token": token}

    def _answer(self, call: str, data: bytes | None = None) -> bytes:
        """Returns one answer; asks again after errors that pass."""
        from http.client import HTTPException
        from urllib.error import HTTPError, URLError

        for attempt in range(1, _TRIES + 1):
            checkpoint()
            try:
                return fetched(self._request(call, data), self._tls, _MOST_BYTES)
            except HTTPError as error:
                with error:
                    passes = error.code == 429 or error.code >= 500
                    if not passes or attempt == _TRIES:
                        raise self._refused(error) from error
            except (URLError, HTTPException, OSError) as error:
                if attempt == _TRIES or isinstance(getattr(error, "reason", error), TimeoutError):
                    reason = getattr(error, "reason", None) or error
                    raise PlaceError(
                        f"{self._shown} cannot be reached ({reason}): check the address, and that it runs."
                    ) from error
            time.sleep(0.2 * attempt)
        raise AssertionError

    def _parsed(self, content: bytes) -> Mapping[str, Any]:
        try:
            answer = cast("object", json.loads(content))
        except (ValueError, RecursionError) as error:
            raise self._stranger() from error
        if not isinstance(answer, dict):
            raise self._stranger()
        return cast("Mapping[str, Any]", answer)

    def _listed(self, items: object) -> list[Mapping[str, Any]]:
        """Returns the items of a page. Raises MissingApiError if they are no list of objects."""
        listed = cast("list[object]", items or [])
        if not isinstance(items or [], list) or not all(isinstance(item, dict) for item in listed):
            raise self._stranger()
        return cast("list[Mapping[str, Any]]", listed)

    def _stranger(self) -> MissingApiError:
        return MissingApiError(f"{self._shown} does not answer as an MLflow tracking server.")

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
        if 300 <= error.code < 400:
            return PlaceError(
                f"{self._shown} sends requests on to another server, which is not asked: pass that server's address."
            )
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
