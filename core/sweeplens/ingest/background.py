"""`BackgroundRefresh`: refreshes the data in a thread beside the questions, so that no question waits for a long walk.

One refresh runs at a time. After it the thread rests until its processor time is a fifth of the time since it began. On
Linux the thread has a lower priority than those that answer. An error of a refresh is raised by the next `finished`.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable

__all__ = ["BackgroundRefresh"]

_SHARE = 0.2  # of a core
_NICE = 10


class BackgroundRefresh:
    """Runs ``refresh`` in a thread of its own when asked to."""

    def __init__(self, refresh: Callable[[], object]) -> None:
        self._refresh = refresh
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._done.set()
        self._rest_until = float("-inf")
        self._error: Exception | None = None

    def finished(self, patience: float) -> bool:
        """Starts a refresh, unless one is under way or the thread rests, and waits for it for at most ``patience`` seconds.

        Returns whether the refresh ended in this time. A caller that did not start it does not wait. Raises the error of a refresh.
        """
        ended = self._start() and self._done.wait(patience)
        error, self._error = self._error, None
        if error is not None:
            raise error
        return ended

    def _start(self) -> bool:
        with self._lock:
            if not self._done.is_set() or time.monotonic() < self._rest_until:
                return False
            self._done.clear()
        threading.Thread(target=self._run, name="sweeplens-refresh", daemon=True).start()
        return True

    def _run(self) -> None:
        began, used = time.monotonic(), time.thread_time()
        _yield_to_others()
        try:
            self._refresh()
        except Exception as error:  # noqa: BLE001 - no boundary: the next question raises it
            self._error = error
        finally:
            self._rest_until = began + (time.thread_time() - used) / _SHARE
            self._done.set()


def _yield_to_others() -> None:
    """Lowers the priority of this thread, where the system has one for each thread."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # where it is not allowed, the refresh has the usual priority
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), min(19, os.nice(0) + _NICE))
