"""Runs, series and points between calls."""

from __future__ import annotations

from sweeplens.store.memory import Change, MemoryStore
from sweeplens.store.snapshot import Snapshot

__all__ = ["Change", "MemoryStore", "Snapshot"]
