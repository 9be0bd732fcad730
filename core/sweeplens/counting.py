"""Numbers with their nouns and verbs: ``1 run was``, ``3 runs were``. Every count in a sentence is made here.

count_of(n, noun)          ``1 run``, ``3 runs``
share_of(n, of, noun)      ``1 of 1 run``, ``2 of 3 runs``
verb(n, one, many)         the form of a verb for n subjects; of a share, for the whole
"""

from __future__ import annotations

__all__ = ["count_of", "share_of", "verb"]


def count_of(n: int, singular: str, plural: str = "") -> str:
    """Returns ``1 run``, ``3 runs``."""
    return f"{n:,} {singular if n == 1 else plural or singular + 's'}"


def share_of(n: int, of: int, singular: str, plural: str = "") -> str:
    """Returns ``1 of 1 run``, ``2 of 3 runs``."""
    return f"{n:,} of {count_of(of, singular, plural)}"


def verb(n: int, one: str, many: str) -> str:
    """Returns the form of a verb for ``n`` subjects."""
    return one if n == 1 else many
