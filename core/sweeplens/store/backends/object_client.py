"""`ObjectClient`: objects below one URL. Each request has a timeout; each error says what to do.

`obstore` is imported only here, at the first request. Its settings come from the environment, like those of
Polars and deltalake, so one set of variables serves all three.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Collection, Generator, Iterator
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from msgspec import Struct

from sweeplens.store.backends.backend import BackendUnreachableError, HeadMovedError

if TYPE_CHECKING:
    from obstore import UpdateVersion
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

__all__ = [
    "LARGE_REQUESTS",
    "SMALL_REQUESTS",
    "ListedObject",
    "ObjectClient",
    "ObjectVersion",
    "RequestTimeouts",
    "connect",
    "what_failed",
]

_CONNECTION_OPTIONS = (
    "allow_http",
    "allow_invalid_certificates",
    "proxy_url",
    "proxy_ca_certificate",
    "proxy_excludes",
)
_PREFIXES = ("AWS", "GOOGLE", "AZURE")


class RequestTimeouts(Struct, frozen=True):
    """Timeouts of requests, in seconds."""

    silence: int  # until a request is answered, and between two parts of an answer
    whole: int  # for a whole request
    retries: int
    connect: int = 2

    @property
    def options(self) -> dict[str, str]:
        """Returns the same as options of the Rust crate that obstore, Polars and deltalake share."""
        return {
            "connect_timeout": f"{self.connect}s", "read_timeout": f"{self.silence}s", "timeout": f"{self.whole}s",
        }  # fmt: skip


SMALL_REQUESTS = RequestTimeouts(silence=5, whole=5, retries=1)
"""For requests that every refresh waits for: a few bytes."""
LARGE_REQUESTS = RequestTimeouts(silence=20, whole=600, retries=1)
"""For requests that transfer tables. A large file is sent in parts; each must be answered within ``silence``."""


class ObjectVersion(Struct, frozen=True):
    """Identifies one content of an object; stores give either field or both."""

    e_tag: str | None
    version: str | None


class ListedObject(Struct, frozen=True):
    """An object of a listing; its name is relative to the bucket's URL."""

    name: str
    size: int
    written: float
    etag: str = ""


class ObjectClient:
    """Requests to an object store. Methods raise BackendUnreachableError if it does not respond or refuses."""

    def __init__(self, address: str) -> None:
        self.address = address

    def head(self, name: str) -> ObjectVersion | None:
        """Returns the version of an object; None if there is none."""
        import obstore

        with self._translated_errors(), contextlib.suppress(FileNotFoundError):
            reply = obstore.head(self._small_client, name)
            return ObjectVersion(reply["e_tag"], reply["version"])
        return None

    def get(self, name: str, *, large: bool = True) -> tuple[bytes, ObjectVersion]:
        """Returns an object and its version. Raises FileNotFoundError."""
        import obstore

        with self._translated_errors():
            reply = obstore.get(self._large_client if large else self._small_client, name)
            return reply.bytes().to_bytes(), ObjectVersion(reply.meta["e_tag"], reply.meta["version"])

    def put_after(self, name: str, data: bytes, before: ObjectVersion | None) -> ObjectVersion:
        """Puts an object if its current version is ``before`` (None: if there is none). Raises HeadMovedError otherwise."""
        import obstore

        with self._translated_errors():
            reply = obstore.put(self._small_client, name, data, mode=_mode(before), use_multipart=False)
            return ObjectVersion(reply["e_tag"], reply["version"])

    def put_file(self, name: str, file: Path) -> str:
        """Uploads a file in parts, never whole in memory. Returns its entity tag, if the store gives one."""
        import obstore

        with self._translated_errors():
            reply = obstore.put(self._large_client, name, file, max_concurrency=2)
            return reply["e_tag"] or ""

    def list(self, prefix: str = "") -> Iterator[ListedObject]:
        """Yields all objects below a prefix."""
        import obstore

        with self._translated_errors():
            for batch in obstore.list(self._large_client, prefix or None):
                for reply in batch:
                    yield ListedObject(
                        reply["path"], reply["size"], reply["last_modified"].timestamp(), reply["e_tag"] or ""
                    )

    def delete(self, names: Collection[str]) -> None:
        """Removes objects; a missing one is no error."""
        import obstore

        if not names:
            return
        with self._translated_errors():
            try:
                obstore.delete(self._large_client, list(names))
            except FileNotFoundError:  # some stores report it, and may have kept other objects
                for name in names:
                    with contextlib.suppress(FileNotFoundError):
                        obstore.delete(self._large_client, name)

    # --------------------------------------------------------------- private

    @cached_property
    def _small_client(self) -> ObjectStore:
        return connect(self.address, SMALL_REQUESTS)

    @cached_property
    def _large_client(self) -> ObjectStore:
        return connect(self.address, LARGE_REQUESTS)

    @contextlib.contextmanager
    def _translated_errors(self) -> Generator[None]:
        """Translates errors of obstore to those of a `StoreBackend`."""
        from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

        try:
            yield
        except (AlreadyExistsError, PreconditionError) as error:
            raise HeadMovedError(f"The store {self.address!r} was written by another process.") from error
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise BackendUnreachableError(_error_text(str(error))) from error
            raise
        except (BaseError, OSError, ValueError) as error:
            raise BackendUnreachableError(_error_text(str(error))) from error


def _mode(before: ObjectVersion | None) -> UpdateVersion | Literal["create"]:
    if before is None:
        return "create"
    known: UpdateVersion = {}
    if before.e_tag is not None:
        known["e_tag"] = before.e_tag
    if before.version is not None:
        known["version"] = before.version
    return known


def connect(address: str, timeouts: RequestTimeouts) -> ObjectStore:
    """Returns a client for one address, with credentials and connection options of the environment."""
    from obstore.store import from_url

    options = cast("ClientConfig", _environment_options() | timeouts.options)
    retries: RetryConfig = {
        "max_retries": timeouts.retries,
        "retry_timeout": timedelta(seconds=timeouts.whole),
        "backoff": {"max_backoff": timedelta(seconds=1)},
    }
    return from_url(address, client_options=options, retry_config=retries)


def _environment_options() -> dict[str, str]:
    """Returns connection options from the environment: obstore ignores them when other options are passed."""
    found = ((key, os.environ.get(f"{prefix}_{key.upper()}")) for prefix in _PREFIXES for key in _CONNECTION_OPTIONS)
    return {key: value for key, value in found if value}


def _error_text(message: str) -> str:
    """Returns the error and what to do."""
    what = what_failed(message)
    return f"{what}: {_advice(what)}"


def what_failed(message: str) -> str:
    """Returns the short form of an error of obstore, without the address, which may hold a signature, and without the body."""
    code = re.search(r"<Code>(\w+)</Code>", message)
    status = re.search(r"status code: (\d+ [A-Za-z ]+)", message)
    what = " ".join(m.group(1).strip() for m in (status, code) if m) or message.splitlines()[0].rpartition(" - ")[2]
    return re.sub(r"https?://[^ ]+", "its address", what)[:200]


def _advice(what: str) -> str:
    if "NoSuchBucket" in what:
        return "this bucket does not exist, create it or set another one in ANALYSIS_CACHE_DIR"
    if what.startswith(("401", "403", "400")) or "credential" in what.lower():
        return "check the credentials in the environment, which must allow to list, read, write and delete there"
    return "check the address, the network and variables such as AWS_ENDPOINT_URL and AWS_REGION"
