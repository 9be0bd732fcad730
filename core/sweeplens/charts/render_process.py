"""The process that draws: run as a script, a job a line on stdin, ``done SIZE`` and bytes on stdout.

It ends when its stdin does. Nothing of sweeplens is imported, so that it starts as fast as Python does.
"""

from __future__ import annotations

import io
import json
import sys
from typing import Any

__all__ = ["main", "shrunk"]

_VERSION = "5.20"
_NAMES = "window.vegaEmbed = vegaEmbed;"
_COLOURS = (128, 64, 32, 16)


def main() -> None:
    """Draw until nobody asks any more."""
    for line in sys.stdin.buffer:
        try:
            word, content = b"done", _drawn(json.loads(line))
        except ValueError as error:  # what the renderer raises for a specification that it cannot draw
            word, content = b"error", str(error).encode()
        sys.stdout.buffer.write(b"%s %d\n" % (word, len(content)))
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()


def _drawn(job: dict[str, Any]) -> bytes:
    import vl_convert

    form = job["form"]
    if form == "javascript":
        return vl_convert.javascript_bundle(_NAMES).encode()
    if form == "svg":
        return vl_convert.vegalite_to_svg(job["spec"], vl_version=_VERSION).encode()
    if form == "pdf":
        return vl_convert.vegalite_to_pdf(job["spec"], vl_version=_VERSION)
    image = vl_convert.vegalite_to_png(job["spec"], vl_version=_VERSION, scale=job["scale"])
    return shrunk(image, job["most_bytes"]) if job["most_bytes"] else image


def shrunk(image: bytes, most_bytes: int) -> bytes:
    """A PNG in 128 colours, or fewer, or smaller in size, until it has no more bytes than asked."""
    from PIL import Image

    drawn = Image.open(io.BytesIO(image)).convert("RGB")
    while True:
        for colours in _COLOURS:
            few = drawn.quantize(colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
            stream = io.BytesIO()
            few.save(stream, "PNG", optimize=True)
            if stream.tell() <= most_bytes or max(drawn.size) < 200:
                return stream.getvalue()
        drawn = drawn.resize((drawn.width * 3 // 4, drawn.height * 3 // 4))


if __name__ == "__main__":
    main()
