"""A PNG as the escape sequence of a terminal that shows images.

    IMAGE_SEQUENCES    the kinds of terminals: kitty, iterm (iTerm2, WezTerm), sixel (xterm, foot, mlterm, Windows Terminal)

kitty and iTerm2 take the PNG itself, in base64. Sixel is an image of its own: bands of six rows, one mask for each colour.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Iterator

__all__ = ["IMAGE_SEQUENCES"]

_CHUNK = 4096  # characters of base64 in one sequence of kitty
_COLOURS = 64
_BAND = 6  # rows
_FIRST = 63  # the character of an empty column
_SIGNS = bytes((_FIRST + i) % 256 for i in range(256))


def _kitty(image: bytes) -> str:
    data = base64.b64encode(image).decode()
    parts = [data[i : i + _CHUNK] for i in range(0, len(data), _CHUNK)]
    last = len(parts) - 1
    heads = ["a=T,f=100," if i == 0 else "" for i in range(len(parts))]
    return "".join(
        f"\x1b_G{head}m={int(i < last)};{part}\x1b\\" for i, (head, part) in enumerate(zip(heads, parts, strict=True))
    )


def _iterm(image: bytes) -> str:
    return f"\x1b]1337;File=inline=1;size={len(image)}:{base64.b64encode(image).decode()}\a"


def _sixel(image: bytes) -> str:
    from PIL import Image

    drawn = Image.open(io.BytesIO(image)).convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
    width, height = drawn.size
    levels = drawn.getpalette() or []
    colours = "".join(
        f"#{i};2;{';'.join(str(round(level / 2.55)) for level in levels[3 * i : 3 * i + 3])}"
        for i in range(len(levels) // 3)
    )
    pixels = drawn.tobytes()
    rows = [pixels[i * width : (i + 1) * width] for i in range(height)]
    bands = "".join("$".join(_masks(rows[top : top + _BAND])) + "-" for top in range(0, height, _BAND))
    return f'\x1bPq"1;1;{width};{height}{colours}{bands}\x1b\\'


def _masks(rows: list[bytes]) -> Iterator[str]:
    """The masks of a band, one for each colour in it; runs of equal columns are counted."""
    for colour in sorted(set(b"".join(rows))):
        mask = 0
        for i, row in enumerate(rows):
            table = bytes(1 << i if value == colour else 0 for value in range(256))
            mask |= int.from_bytes(row.translate(table))
        signs = mask.to_bytes(len(rows[0])).translate(_SIGNS).decode("ascii")
        yield f"#{colour}" + re.sub(r"(.)\1{3,}", lambda match: f"!{len(match[0])}{match[1]}", signs)


IMAGE_SEQUENCES: dict[str, Callable[[bytes], str]] = {"kitty": _kitty, "iterm": _iterm, "sixel": _sixel}
