"""`ObjectClient`: objects below one URL, each request bounded in time, each failure in words that say what to do.

`obstore` is imported here and nowhere else, when the first object is asked for. Its settings come from the environment, as
those of Polars and deltalake do, so that one set of variables serves all three.
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

__all__ = ["ASKS", "MOVES", "ListedObject", "ObjectClient", "ObjectVersion", "RequestTimeouts"]

_CARRIED = ("allow_http", "allow_invalid_certificates", "proxy_url", "proxy_ca_certificate", "proxy_excludes")
_PREFIXES = ("AWS", "GOOGLE", "AZURE")


class RequestTimeouts(Struct, frozen=True):
    """How long is waited for what, in seconds."""

    silence: int  # until a request is answered, and between two parts of an answer
    whole: int  # for a request from its beginning to its end
    retries: int
    connect: int = 2

    @property
    def options(self) -> dict[str, str]:
        """The same for a client of the Rust crate that obstore, Polars and deltalake have in common."""
        return {
            "connect_timeout": f"{self.connect}s", "read_timeout": f"{self.silence}s", "timeout": f"{self.whole}s",
        }  # fmt: skip


ASKS = RequestTimeouts(silence=5, whole=5, retries=1)
"""Of what every look waits for: a few bytes."""
MOVES = RequestTimeouts(silence=20, whole=600, retries=1)
"""Of what moves tables. A large file goes up in parts, each of which must be answered within the silence."""


class ObjectVersion(Struct, frozen=True):
    """One content of an object: stores tell it by either."""

    e_tag: str | None
    version: str | None


class ListedObject(Struct, frozen=True):
    """An object of a listing; its name is relative to the bucket's URL."""

    name: str
    size: int
    written: float
    etag: str = ""


class ObjectClient:
    """All methods raise UnreachableError where the store does not answer or refuses; FileNotFoundError for a single object."""

    def __init__(self, address: str) -> None:
        self.address = address

    def head(self, name: str) -> ObjectVersion | None:
        """Which content an object has; None without one."""
        import obstore

        with self._told(), contextlib.suppress(FileNotFoundError):
            said = obstore.head(self._asking, name)
            return ObjectVersion(said["e_tag"], said["version"])
        return None

    def get(self, name: str, *, large: bool = True) -> tuple[bytes, ObjectVersion]:
        """An object, and which content that is."""
        import obstore

        with self._told():
            said = obstore.get(self._moving if large else self._asking, name)
            return said.bytes().to_bytes(), ObjectVersion(said.meta["e_tag"], said.meta["version"])

    def put_after(self, name: str, data: bytes, before: ObjectVersion | None) -> ObjectVersion:
        """Put an object in the place of this content, or where there is none. Raises TakenError where there is another."""
        import obstore

        with self._told():
            said = obstore.put(self._asking, name, data, mode=_mode(before), use_multipart=False)
            return ObjectVersion(said["e_tag"], said["version"])

    def put_file(self, name: str, file: Path) -> str:
        """Put a file of this machine, in parts: it is never in memory as a whole. Its entity tag, if the store gives any."""
        import obstore

        with self._told():
            said = obstore.put(self._moving, name, file, max_concurrency=2)
            return said["e_tag"] or ""

    def list(self, prefix: str = "") -> Iterator[ListedObject]:
        """All objects below a prefix."""
        import obstore

        with self._told():
            for batch in obstore.list(self._moving, prefix or None):
                for said in batch:
                    yield ListedObject(
                        said["path"], said["size"], said["last_modified"].timestamp(), said["e_tag"] or ""
                    )

    def delete(self, names: Collection[str]) -> None:
        """Remove objects; what is not there is well removed."""
        import obstore

        if not names:
            return
        with self._told():
            try:
                obstore.delete(self._moving, list(names))
            except FileNotFoundError:  # some stores mind, and may have left others
                for name in names:
                    with contextlib.suppress(FileNotFoundError):
                        obstore.delete(self._moving, name)

    # --------------------------------------------------------------- private

    @cached_property
    def _asking(self) -> ObjectStore:
        return _client(self.address, ASKS)

    @cached_property
    def _moving(self) -> ObjectStore:
        return _client(self.address, MOVES)

    @contextlib.contextmanager
    def _told(self) -> Generator[None]:
        """Errors of obstore as those of a `Place`."""
        from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

        try:
            yield
        except (AlreadyExistsError, PreconditionError) as error:
            raise HeadMovedError(f"The store {self.address!r} was written by another.") from error
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise BackendUnreachableError(_words(str(error))) from error
            raise
        except (BaseError, OSError, ValueError) as error:
            raise BackendUnreachableError(_words(str(error))) from error


def _mode(before: ObjectVersion | None) -> UpdateVersion | Literal["create"]:
    if before is None:
        return "create"
    known: UpdateVersion = {}
    if before.e_tag is not None:
        known["e_tag"] = before.e_tag
    if before.version is not None:
        known["version"] = before.version
    return known


def _client(address: str, patience: RequestTimeouts) -> ObjectStore:
    from obstore.store import from_url

    options = cast("ClientConfig", _carried() | patience.options)
    retries: RetryConfig = {
        "max_retries": patience.retries,
        "retry_timeout": timedelta(seconds=patience.whole),
        "backoff": {"max_backoff": timedelta(seconds=1)},
    }
    return from_url(address, client_options=options, retry_config=retries)


def _carried() -> dict[str, str]:
    """Options of the connection that stand in the environment: obstore forgets them where it is given any others."""
    said = ((key, os.environ.get(f"{prefix}_{key.upper()}")) for prefix in _PREFIXES for key in _CARRIED)
    return {key: value for key, value in said if value}


def _words(said: str) -> str:
    """What happened and what to do; without the address, which may hold a signature, and without the body."""
    code = re.search(r"<Code>(\w+)</Code>", said)
    status = re.search(r"status code: (\d+ [A-Za-z ]+)", said)
    what = " ".join(m.group(1).strip() for m in (status, code) if m) or said.splitlines()[0].rpartition(" - ")[2]
    return f"{re.sub(r'https?://[^ ]+', 'its address', what)[:200]}: {_remedy(what)}"


def _remedy(what: str) -> str:
    if "NoSuchBucket" in what:
        return "there is no such bucket, make it or name another in ANALYSIS_CACHE_DIR"
    if what.startswith(("401", "403", "400")) or "credential" in what.lower():
        return "check the credentials in the environment, which must be let list, read, write and delete there"
    return "check the address, the network and variables such as AWS_ENDPOINT_URL and AWS_REGION"
