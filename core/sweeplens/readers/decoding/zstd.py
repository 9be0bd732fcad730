"""`zstd`: Python's own module for Zstandard. It is in the standard library since 3.14; before, its backport is installed."""

from __future__ import annotations

import sys

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["zstd"]
