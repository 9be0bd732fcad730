"""Checks that other users of this machine can neither write to a folder nor move it.

A folder is safe if it belongs to this user, every folder and link on the way to it belongs to this user or to the
administrator, and other users cannot write to any of these folders, or the sticky bit protects the content.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator

__all__ = ["why_unsafe"]

_MAX_LINKS = 40
_ADVICE = "set ANALYSIS_CACHE_DIR to a folder of your own, or ANALYSIS_CACHE_SHARED=1 if other users may read and change the store"


def why_unsafe(path: str, *, shared: bool = False) -> str:
    """Returns why a store in this folder would be unsafe, and what to do; empty if it is safe, or unknown (Windows).

    ``shared``: the folder is shared with other users on purpose; only a link in its place is refused.
    """
    if os.path.islink(path):  # noqa: PTH114 - a plain string, checked often
        return f"{path!r} is a link: remove it"
    if sys.platform == "win32" or shared:
        return ""
    why = next(filter(None, (_unsafe_reason(step, info, last=step == path) for step, info in _steps(path))), "")
    return f"{why}: {_ADVICE}" if why else ""


if sys.platform != "win32":

    def _unsafe_reason(path: str, info: os.stat_result, *, last: bool) -> str:
        trusted = {os.geteuid()} if last else {os.geteuid(), 0, os.lstat("/").st_uid}
        if info.st_uid not in trusted:
            return f"{path!r} belongs to {_user(info.st_uid)}"
        if not stat.S_ISDIR(info.st_mode):
            return ""
        writable = info.st_mode & stat.S_IWOTH or (info.st_mode & stat.S_IWGRP and not _is_private_group(info.st_gid))
        if writable and (last or not info.st_mode & stat.S_ISVTX):
            return f"other users can write to {path!r}"
        return ""

    def _is_private_group(gid: int) -> bool:
        """Whether this user is the only member of a group. Many systems give every user such a group and let it write.

        The administrator's group does not count: system users share it.
        """
        if gid == 0:
            return False
        import grp
        import pwd

        try:
            group, user = grp.getgrgid(gid), pwd.getpwuid(os.geteuid())
        except KeyError:
            return False
        return gid == user.pw_gid and group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name}

    def _user(uid: int) -> str:
        import pwd

        try:
            return f"the user {pwd.getpwuid(uid).pw_name!r}"
        except KeyError:
            return f"the user {uid}"


def _steps(path: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yields every folder and link on the way to an absolute path, from the top, as far as they exist."""
    here, links = os.sep, 0
    pending = _parts(path)
    yield here, os.lstat(here)
    while pending:
        part = pending.pop()
        if part == "..":
            here = os.path.dirname(here)  # noqa: PTH120
            continue
        step = os.path.join(here, part)  # noqa: PTH118
        try:
            info = os.lstat(step)
        except (FileNotFoundError, NotADirectoryError):
            return
        yield step, info
        if not stat.S_ISLNK(info.st_mode):
            here = step
            continue
        links += 1
        if links > _MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        target = os.readlink(step)  # noqa: PTH115
        here = os.sep if target.startswith(os.sep) else here
        pending += _parts(target)


def _parts(path: str) -> list[str]:
    """Returns the components of a path in reverse order."""
    return [p for p in reversed(path.split(os.sep)) if p not in ("", ".")]  # noqa: PTH206
