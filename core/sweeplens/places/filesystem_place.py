"""A folder of another file system as a place: sftp://, hf:// and others, through fsspec where it is installed.

fsspec knows protocols that packages of others implement (`paramiko` for sftp, `huggingface_hub` for hf). Credentials are those
of these packages: the address (``sftp://me@host/path``), the agent and files of SSH, ``HF_TOKEN``. Everything is read only.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib import import_module
from importlib.util import find_spec
from typing import Any, cast

from sweeplens.errors import PlaceError, SweeplensError
from sweeplens.extras import not_installed
from sweeplens.places.remote import ChangedFileError, RemoteFile

__all__ = ["FilesystemPlace"]

log = logging.getLogger("sweeplens.places")
_CHUNK = 1 << 20
_VERSIONS = ("etag", "ETag", "blob_id", "oid", "ino", "md5Hash", "sha", "uid")
_TIMES = ("mtime", "LastModified", "last_modified", "modified", "created", "updated", "modify")
_PACKAGES = {
    "sftp": "paramiko", "ssh": "paramiko", "hf": "huggingface_hub", "smb": "smbprotocol", "gcs": "gcsfs", "webdav": "webdav4",
    "dav": "webdav4", "davs": "webdav4", "webdavs": "webdav4", "hdfs": "pyarrow", "wasb": "adlfs", "wasbs": "adlfs", "adl": "adlfs",
}  # fmt: skip


class FilesystemPlace:
    """Everything below ``url`` in a file system that fsspec knows. ``shown``: the address without secrets."""

    concurrency = 4
    reads_parts = True
    notes: tuple[str, ...] = ()

    def __init__(self, url: str, shown: str) -> None:
        self.address = shown
        self.folder_name = re.sub(r"[^\w.\-= ]", "_", shown.rstrip("/").rpartition("/")[2]) or "files"
        self._url = url
        self._scheme = url.partition("://")[0].lower()
        self._system: Any = None
        self._top = ""
        if find_spec("fsspec") is None:
            raise PlaceError(f"{shown!r} cannot be read: {not_installed('fsspec')}.")

    def files(self) -> Sequence[RemoteFile]:
        """Returns all files below the address. Raises PlaceError."""
        with self._translated():
            system = self._connected()
            system.invalidate_cache()
            entries = cast("dict[str, dict[str, Any]]", system.find(self._top, withdirs=False, detail=True))
        top = self._top.rstrip("/") + "/" if self._top else ""
        found = [
            RemoteFile(path[len(top) :].lstrip("/"), int(entry.get("size") or 0), _time(entry), _version(entry))
            for path, entry in entries.items()
            if path.startswith(top) and entry.get("type", "file") == "file" and not entry.get("islink")
        ]
        if not found:
            raise PlaceError(
                f"There is nothing below {self.address}: check the address, which must be that of a folder."
            )
        return found

    def read(self, file: RemoteFile, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yields a file, or a part of it. Raises ChangedFileError if it is gone."""
        left = (file.size if end is None else min(end, file.size)) - start
        with self._translated(file.name):
            path = f"{self._top.rstrip('/')}/{file.name}" if self._top else file.name
            with self._connected().open(path, "rb") as stream:
                stream.seek(start)
                while left > 0 and (part := cast("bytes", stream.read(min(_CHUNK, left)))):
                    yield part
                    left -= len(part)

    def close(self) -> None:
        """fsspec keeps its connections for the process."""

    def _connected(self) -> Any:
        if self._system is None:
            core = import_module("fsspec.core")  # it has no types
            self._system, self._top = cast("tuple[Any, str]", core.url_to_fs(self._url))
        return self._system

    @contextmanager
    def _translated(self, name: str = "") -> Generator[None]:
        """Translates whatever the packages behind fsspec raise: each has errors of its own."""
        try:
            yield
        except SweeplensError:
            raise
        except FileNotFoundError as error:
            if name:
                raise ChangedFileError("it was removed during the refresh") from error
            raise PlaceError(f"There is no folder {self.address}.") from error
        except ImportError as error:
            package = _PACKAGES.get(self._scheme, "a package")
            raise PlaceError(
                f"{self.address} cannot be read: {self._scheme}:// needs {package}: pip install {package}."
            ) from error
        except (OSError, ValueError, EOFError, RuntimeError) as error:
            raise PlaceError(f"{self.address} cannot be read: {self._without_secrets(error)}.") from error
        except Exception as error:  # the boundary around one place: these packages have errors of their own
            log.debug("%s cannot be read", self.address, exc_info=True)
            if type(error).__module__.partition(".")[0] in ("builtins", "sweeplens"):
                raise
            raise PlaceError(f"{self.address} cannot be read: {self._without_secrets(error)}.") from error

    def _without_secrets(self, error: Exception) -> str:
        """Returns an error without the address as it was given, which may hold a password."""
        text = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
        secret = self._url.partition("://")[2].rpartition("@")[0].partition(":")[2]
        text = text.replace(self._url, self.address)
        return text.replace(secret, "***") if secret else text


def _version(entry: dict[str, Any]) -> str:
    return "-".join(str(entry[key]) for key in _VERSIONS if entry.get(key))


def _time(entry: dict[str, Any]) -> float:
    """Returns the time of a file, under the names that file systems give it; 0 if there is none."""
    for key in _TIMES:
        value = entry.get(key)
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, int | float):
            return float(value)
    return 0.0
