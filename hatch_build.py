"""Compiles core/sweeplens/native when sweeplens is built or installed.

With the machine's C compiler; where there is none, with the one that the package `ziglang` brings from PyPI. The library is
reached by ctypes, so that no header of Python is needed and one build serves every Python. Where nothing can compile, sweeplens
installs without it, and reads JSON lines and text logs more slowly: `sweeplens doctor` says so.

    python hatch_build.py    prints what has to be installed before, if anything
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ZIG = "ziglang==0.17.1"
_NATIVE = Path(__file__).parent / "core" / "sweeplens" / "native"
_SOURCES = [str(_NATIVE / name) for name in ("step_lines.c", "text_lines.c", "row_places.c", "trees.c")]
_SUFFIX = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")
_FLAGS = ("-std=c11", "-O3", "-shared", "-fvisibility=hidden", *(() if sys.platform == "win32" else ("-fPIC",)))
_ARCHITECTURES = shlex.split(os.environ.get("ARCHFLAGS", ""))  # macOS: for which processors
_LEAST, _GREATEST = -342, 308  # beyond these powers of ten every number of 64 bits is 0 or infinite


def compilers() -> Iterator[list[str]]:
    """How a compiler may be called, the machine's own before Zig's."""
    yield from ([path] for name in (os.environ.get("CC", "cc"), "gcc", "clang") if (path := shutil.which(name)))
    yield [sys.executable, "-m", "ziglang", "cc"]


def needs() -> list[str]:
    """What has to be installed for a compiler to be there."""
    return [ZIG] if next(compilers())[0] == sys.executable else []


def power(exponent: int) -> tuple[int, int]:
    """The first 128 bits of 10^exponent, rounded up where it is below 1: upper and lower half."""
    ten = 10 ** abs(exponent)
    length = ten.bit_length()
    bits = (ten << 128) >> length if exponent >= 0 else (1 << (length + 127)) // ten + 1
    return bits >> 64, bits & ((1 << 64) - 1)


def powers() -> Iterator[str]:
    """The lines of powers.h."""
    yield f"enum {{ LEAST_POWER = {_LEAST}, GREATEST_POWER = {_GREATEST} }};"
    yield "static const uint64_t POWERS[] = {"
    yield from ("    {:#x}u, {:#x}u,".format(*power(exponent)) for exponent in range(_LEAST, _GREATEST + 1))
    yield "};"


def compiled() -> Path:
    """The library beside its sources, made anew. Raises OSError or CalledProcessError of the last compiler.

    In the place of an older one at one stroke: a server that runs keeps what it has loaded.
    """
    made = _NATIVE / f"step_lines{_SUFFIX}"
    with tempfile.TemporaryDirectory(dir=_NATIVE) as folder:
        Path(folder, "powers.h").write_text("\n".join(powers()) + "\n")
        fresh = Path(folder, made.name)
        rest = (*_FLAGS, *_ARCHITECTURES, f"-I{folder}", *_SOURCES, "-o", str(fresh))
        *others, last = compilers()
        for compiler in others:
            if subprocess.run([*compiler, *rest], check=False).returncode == 0:
                break
        else:
            subprocess.run([*last, *rest], check=True)
        fresh.replace(made)
    return made


try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # who asks what is needed has no hatchling yet
    BuildHookInterface = object


class CompilingHook(BuildHookInterface):
    """What hatchling calls before it makes a wheel, an editable one too."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """What hatchling must install before."""
        return needs()

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and say what the wheel then is for."""
        if self.target_name != "wheel":
            return
        try:
            made = compiled()
        except (OSError, subprocess.CalledProcessError) as error:
            self.app.display_warning(
                f"sweeplens is installed without its compiled reader of JSON lines and text logs: {error}"
            )
            return
        build_data["artifacts"].append(made.relative_to(self.root).as_posix())
        build_data["pure_python"] = False
        build_data["tag"] = "py3-none-" + sysconfig.get_platform().replace("-", "_").replace(".", "_")


if __name__ == "__main__":
    print(*needs())
