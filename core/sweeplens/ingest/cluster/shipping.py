"""How the code of this package reaches the executors.

An executor whose own installation has the same code uses that, with its compiled reader. To all others the client sends
the package as an archive, once a session. The packages that sweeplens depends on must be installed on the executors.
"""

from __future__ import annotations

import hashlib
import tempfile
import weakref
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from msgspec import Struct

from sweeplens.engines.spark_types import SparkSession

__all__ = ["OwnCode", "own_code", "ship", "work_on_executors", "write_archive"]

_PACKAGE = Path(__file__).parents[2]
_shipped: weakref.WeakKeyDictionary[SparkSession, set[str]] = weakref.WeakKeyDictionary()  # digests sent to a session


class OwnCode(Struct, frozen=True):
    """This package's code: a digest of its modules, and the name of the archive that holds it on an executor."""

    digest: str

    @property
    def archive(self) -> str:
        """The folder into which an executor unpacks the archive."""
        return f"sweeplens-{self.digest[:16]}"


@cache
def own_code() -> OwnCode:
    """Returns the code that runs here."""
    found = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):  # as `work_on_executors` does
        found.update(path.relative_to(_PACKAGE).as_posix().encode() + b"\0" + path.read_bytes())
    return OwnCode(found.hexdigest())


def ship(session: SparkSession, code: OwnCode) -> None:
    """Sends the package to the executors of a session. A server that takes no archives needs the package installed."""
    shipped = _shipped.setdefault(session, set())
    if code.digest in shipped:
        return
    with tempfile.TemporaryDirectory(prefix="sweeplens-") as folder:
        path = Path(folder, f"{code.archive}.zip")
        write_archive(path)
        unsupported: type[Exception] = import_module("pyspark.errors").UnsupportedOperationException
        with suppress(unsupported):
            session.addArtifacts(f"{path}#{code.archive}", archive=True)
    shipped.add(code.digest)


def work_on_executors(verb: str, code: OwnCode) -> Callable[[Iterator[Any]], Iterator[Any]]:
    """Returns a function for `mapInArrow`: it applies a function of `executor` to the bytes in column ``task``.

    The inner function is sent as its code, because an executor may not have this package yet; so it imports everything itself.
    """
    digest, archive = code.digest, code.archive

    def work(batches: Iterator[Any]) -> Iterator[Any]:
        import hashlib
        import importlib
        import sys
        from importlib.util import find_spec
        from pathlib import Path

        def has_same_code(folder: Path) -> bool:
            found = hashlib.sha256()
            for path in sorted(folder.rglob("*.py")):
                found.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
            return found.hexdigest() == digest

        installed = find_spec("sweeplens")
        if installed is None or installed.origin is None or not has_same_code(Path(installed.origin).parent):
            files = getattr(importlib.import_module("pyspark"), "SparkFiles", None)  # a server in Python alone has none
            shipped = Path(files.getRootDirectory() if files else "", archive)
            if not shipped.is_dir():
                raise ImportError(
                    "the executors do not have the sweeplens of this machine, and none could be sent to them"
                )
            for name in [n for n in sys.modules if n.partition(".")[0] == "sweeplens"]:
                del sys.modules[name]
            sys.path.insert(0, str(shipped))
        rows = importlib.import_module("pyarrow").RecordBatch
        try:
            work_on = getattr(importlib.import_module("sweeplens.ingest.cluster.executor"), verb)
        except ImportError as error:
            raise ImportError(
                f"{error} on an executor: install there what sweeplens needs, pip install sweeplens"
            ) from error
        for batch in batches:
            for number, task in zip(batch["number"].to_pylist(), batch["task"].to_pylist(), strict=True):
                yield rows.from_pydict({"number": [number], "result": [work_on(task)]})

    return work


def write_archive(path: Path) -> None:
    """Writes this package as an archive that an executor unpacks into a folder of its path."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(_PACKAGE.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                archive.write(file, f"{_PACKAGE.name}/{file.relative_to(_PACKAGE).as_posix()}")
