"""A prefix of a bucket as a place: s3://, gs://, az://, through obstore.

Credentials and the endpoint come from the environment, as for a store on an object store. A refresh is one listing, paged as the
service pages; a file is one request, a log that grew two small ones. Each names the entity tag of the listing, so an object
that changes in between is never read in part.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from sweeplens.errors import PlaceError
from sweeplens.extras import is_installed, not_installed
from sweeplens.places.object_listing import listed_objects
from sweeplens.places.remote import ChangedFileError, RemoteFile
from sweeplens.plain_data import plain_text
from sweeplens.store.backends.object_client import RequestTimeouts, connect, what_failed

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import ObjectStore

__all__ = ["ObjectPlace"]

_TIMEOUTS = RequestTimeouts(silence=10, whole=600, retries=2)
_CHUNK = 4 << 20
_NAMED = 3


class ObjectPlace:
    """All objects below ``url``. ``shown``: the same without secrets."""

    concurrency = 16
    reads_parts = True
    notes: tuple[str, ...] = ()

    def __init__(self, url: str, shown: str) -> None:
        if not is_installed("obstore"):
            raise PlaceError(f"{shown!r} cannot be read: {not_installed('obstore')}.")
        self.address = shown
        self.folder_name = re.sub(r"[^\w.\-= ]", "_", shown.rstrip("/").rpartition("/")[2]) or "bucket"
        self._url = url.rstrip("/")

    def files(self) -> Sequence[RemoteFile]:
        """Returns all objects. Raises PlaceError, also where there are none."""
        with self._translated():
            listing = listed_objects(self._client, getattr(self._client, "prefix", None) or "")
        self.notes = tuple(_notes(self.address, listing.refused))
        if not listing.objects and not listing.refused:
            raise PlaceError(
                f"There is nothing below {self.address}: check the bucket and the prefix, which must be a folder."
            )
        return [
            RemoteFile(o["path"], o["size"], o["last_modified"].timestamp(), o["e_tag"] or o["version"] or "")
            for o in listing.objects
            if o["path"]  # else the mark of the folder itself
        ]

    def read(self, file: RemoteFile, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yields an object, or a part of it, as it was listed. Raises ChangedFileError if it is another one by now."""
        import obstore

        if not file.size:
            return  # also the mark of a folder, whose key ends in "/": no path is that key
        options: GetOptions = {"if_match": file.version} if file.version else {}
        if start or end is not None:
            options["range"] = (start, min(end or file.size, file.size))
        with self._translated(file.name):
            reply = obstore.get(self._client, file.name, options=options)
            for part in reply.stream(min_chunk_size=_CHUNK):
                yield bytes(part)

    def close(self) -> None:
        """Nothing is held open."""

    @cached_property
    def _client(self) -> ObjectStore:
        return connect(self._url, _TIMEOUTS)

    @contextmanager
    def _translated(self, name: str = "") -> Generator[None]:
        """Translates errors of obstore."""
        from obstore.exceptions import BaseError, PreconditionError

        try:
            yield
        except PreconditionError as error:
            raise ChangedFileError("it is being written: the next refresh reads it") from error
        except FileNotFoundError as error:
            if name and "NoSuchBucket" not in str(error):
                raise ChangedFileError("it was removed during the refresh, or its key ends in '/'") from error
            raise PlaceError(f"{self.address} cannot be read: {_advice(what_failed(str(error)))}") from error
        except (BaseError, OSError, ValueError) as error:
            raise PlaceError(f"{self.address} cannot be read: {_advice(what_failed(str(error)))}") from error


def _notes(address: str, refused: Sequence[str]) -> Generator[str]:
    """Returns a sentence on keys that can be no path; none without any."""
    if refused:
        shown = ", ".join(repr(plain_text(key)[-80:]) for key in refused[:_NAMED])
        more = f" and {len(refused) - _NAMED} more" if len(refused) > _NAMED else ""
        yield (
            f"{address} has keys that can be no path ({shown}{more}): not read, nor others that begin alike."
            " Objects that the service lists shortly before them in the same folder may be missing."
        )


def _advice(what: str) -> str:
    if "NoSuchBucket" in what or what.startswith("404"):
        return f"{what}: there is no such bucket, or it is in another region."
    if what.startswith(("401", "403", "400")) or "credential" in what.lower():
        return f"{what}: check the credentials in the environment, which must allow to list and to read there."
    return f"{what}: check the address, the network, and variables such as AWS_ENDPOINT_URL and AWS_REGION."
