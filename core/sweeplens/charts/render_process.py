"""Script of the rendering process: reads a job a line from stdin, writes ``done SIZE`` and bytes to stdout.

It ends when its stdin closes. It imports nothing of sweeplens, so it starts as fast as Python.
"""

from __future__ import annotations

import io
import json
import signal
import sys
from typing import Any

__all__ = ["main", "shrunk"]

_VERSION = "5.20"
_NAMES = "window.vegaEmbed = vegaEmbed;"
_COLOURS = (128, 64, 32, 16)


def main() -> None:
    """Draws until stdin closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the process that asked, and ends this one
    for line in sys.stdin.buffer:
        try:
            word, content = b"done", _drawn(json.loads(line))
        except ValueError as error:  # raised by the renderer for a specification that it cannot draw
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
    """Returns a PNG in 128 colours, or fewer, or a smaller one, so that it has at most so many bytes."""
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
