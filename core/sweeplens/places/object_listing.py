"""`listed_objects`: all objects of a bucket's prefix, also where some keys can be no path: `a//b`, `../x`, control characters.

The Rust crate below obstore refuses a whole page of up to 1,000 keys for one such key. The listing then continues behind the
folder of that key; what the page held before it is listed folder by folder. What stands on that page in the same folder before the
key may be missing, since no request ends before a key. `ObjectListing.refused` names such keys.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct, field

from sweeplens.cancellation import checkpoint

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.exceptions import InvalidPathError
    from obstore.store import ObjectStore

    Objects: TypeAlias = Sequence[ObjectMeta]

__all__ = ["ObjectListing", "listed_objects"]

_MOST_REFUSED = 100
_KEY = re.compile(
    r'Path "(.*?)" contained empty path segment|Error parsing Path "(.*?)": Encountered illegal character', re.DOTALL
)
_ODD_SEGMENT = re.compile(r"(?:^|(?<=/))(?:(?=/)|\.\.?(?=/|$))|[\x00-\x1f\x7f]")


class ObjectListing(Struct):
    """Objects with paths relative to the prefix, in the order of keys, and keys that can be no path."""

    objects: list[ObjectMeta] = field(default_factory=list["ObjectMeta"])
    refused: list[str] = field(default_factory=list[str])


def listed_objects(store: ObjectStore, prefix: str) -> ObjectListing:
    """Lists a store; ``prefix`` is that of the store in its bucket. Raises what obstore raises, also with too many odd keys."""
    from obstore.exceptions import InvalidPathError

    found = ObjectListing()
    start = ""
    while True:
        try:
            for batch in _pages(store, "", start):
                found.objects += batch
                start = batch[-1]["path"] if batch else start
            return found
        except InvalidPathError as error:
            key = _refused_key(error, prefix)
            behind = _behind(key)
            if behind <= start or len(found.refused) >= _MOST_REFUSED:
                raise
            found.refused.append(key)
            found.objects += _between(store, "", start, key)
            start = behind


def _pages(store: ObjectStore, folder: str, start: str) -> Generator[Objects]:
    import obstore

    for batch in obstore.list(store, folder or None, offset=start or None):
        checkpoint()
        yield batch


def _between(store: ObjectStore, folder: str, start: str, key: str) -> Generator[ObjectMeta]:
    """Yields the objects behind ``start`` of a folder that a refused key lies in, up to that key, as far as they can be listed."""
    import obstore
    from obstore.exceptions import InvalidPathError

    try:
        reply = obstore.list_with_delimiter(store, folder or None)
        children = reply["common_prefixes"]
        yield from (o for o in reply["objects"] if start < o["path"] < key)
    except InvalidPathError:  # a refused key lies directly in this folder: only two of its folders are known by name
        children = sorted({_child(folder, start), _child(folder, key)} - {""})
    for name in children:
        if key.startswith(name + "/"):
            yield from _between(store, name, start, key)
        elif name < key and (name > start or start.startswith(name + "/")):
            for batch in _pages(store, name, start if start.startswith(name + "/") else ""):
                yield from batch


def _child(folder: str, path: str) -> str:
    """Returns the folder directly below ``folder`` on the way to a path; "" if there is none that can be listed."""
    above = f"{folder}/" if folder else ""
    name, is_below, _ = path.removeprefix(above).partition("/")
    can_be = path.startswith(above) and is_below and not _ODD_SEGMENT.search(name + "/")
    return above + name if can_be else ""


def _refused_key(error: InvalidPathError, prefix: str) -> str:
    """Returns the key that an error names, relative to the prefix; "" if it names none."""
    found = _KEY.search(str(error))
    key = (found[1] or found[2]) if found else ""
    return key.removeprefix(f"{prefix}/" if prefix else "")


def _behind(key: str) -> str:
    """Returns a path that comes directly after all keys which are no paths for the same reason; "" if there is no reason."""
    found = _ODD_SEGMENT.search(key)
    if found is None:
        return ""
    if found[0] in ("", ".", ".."):
        return key[: found.end()] + "0"  # the sign after "/"
    return key[: found.start()] + (" " if found[0] < " " else "\x80")
