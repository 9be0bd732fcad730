"""`BackgroundRefresh`: looks at the folders in a thread beside the questions, so that no question waits for a long walk.

One look runs at a time. After a look the thread rests until the look's processor time is a fifth of the time since it began. On
Linux the thread has a lower priority than those that answer. An error of a look is raised by the next `finished`.
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
    """Runs ``look`` in a thread of its own when asked to."""

    def __init__(self, look: Callable[[], object]) -> None:
        self._look = look
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._done.set()
        self._rest_until = float("-inf")
        self._error: Exception | None = None

    def finished(self, patience: float) -> bool:
        """Starts a look, unless one is under way or the thread rests, and waits for it for at most ``patience`` seconds.

        Returns whether the look ended in this time. A caller that did not start it does not wait. Raises the error of a look.
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
        threading.Thread(target=self._run, name="sweeplens-look", daemon=True).start()
        return True

    def _run(self) -> None:
        began, used = time.monotonic(), time.thread_time()
        _yield_to_others()
        try:
            self._look()
        except Exception as error:  # noqa: BLE001 - no boundary: the next question raises it
            self._error = error
        finally:
            self._rest_until = began + (time.thread_time() - used) / _SHARE
            self._done.set()


def _yield_to_others() -> None:
    """Lowers the priority of this thread, where the system has one for each thread."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # where it is not allowed, the look has the usual priority
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), min(19, os.nice(0) + _NICE))
