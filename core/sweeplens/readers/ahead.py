"""Work one step ahead: the next item is made in another thread while the last one is in use."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["ahead"]

A = TypeVar("A")
B = TypeVar("B")


def ahead(work: Callable[[A], B], items: Sequence[A]) -> Iterator[B]:
    """The results in order, never more than one of them waiting. A single item needs no thread."""
    if len(items) == 1:
        yield work(items[0])
        return
    with ThreadPoolExecutor(1, "ahead") as pool:
        coming = None
        for item in items:
            ready, coming = coming, pool.submit(work, item)
            if ready is not None:
                yield ready.result()
        if coming is not None:
            yield coming.result()
