"""Charts in a terminal: what each kind of terminal reads out of its escape sequence is the picture."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import pytest
from PIL import Image

from sweeplens_mcp.cli.commands import main
from sweeplens_mcp.cli.terminal_images import IMAGE_SEQUENCES


@pytest.fixture(scope="module")
def image() -> bytes:
    """A picture of 50 x 20 pixels: its last band of six rows is not full."""
    drawn = Image.new("RGB", (50, 20), "white")
    for x in range(50):
        drawn.putpixel((x, x * 2 // 5), (200, 30, 40))
        drawn.putpixel((x, 19), (x * 5, 100, 250 - x * 5))
    stream = io.BytesIO()
    drawn.save(stream, "PNG")
    return stream.getvalue()


def test_kitty_gets_the_png_in_parts(image: bytes) -> None:
    text = IMAGE_SEQUENCES["kitty"](image * 20)
    parts = re.findall(r"\x1b_G(?:a=T,f=100,)?m=([01]);([^\x1b]*)\x1b\\", text)
    assert "".join(part for _, part in parts) == base64.b64encode(image * 20).decode()
    assert [more for more, _ in parts] == ["1"] * (len(parts) - 1) + ["0"]
    assert all(len(part) <= 4096 for _, part in parts)


def test_iterm_gets_the_png_with_its_size(image: bytes) -> None:
    found = re.fullmatch(r"\x1b\]1337;File=inline=1;size=(\d+):(.*)\a", IMAGE_SEQUENCES["iterm"](image))
    assert found is not None
    assert int(found[1]) == len(image)
    assert base64.b64decode(found[2]) == image


def test_sixel_is_the_picture_in_few_colours(image: bytes) -> None:
    drawn = Image.open(io.BytesIO(image)).convert("RGB")
    shown = _decoded(IMAGE_SEQUENCES["sixel"](image))
    assert shown.size == drawn.size
    far = [
        max(abs(a - b) for a, b in zip(drawn.getpixel(at), shown.getpixel(at), strict=True))  # type: ignore[arg-type]
        for at in [(x, y) for x in range(50) for y in range(20)]
    ]
    assert max(far) <= 8


@pytest.mark.parametrize("kind", IMAGE_SEQUENCES)
def test_the_shell_shows_a_chart_when_asked(kind: str, sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plot", "ranking", "metric=val/acc", "--inline", kind, "--root", str(sweep)]) == 0
    said = capsys.readouterr().out
    assert said.startswith({"kitty": "\x1b_Ga=T", "iterm": "\x1b]1337;", "sixel": '\x1bPq"1;1;800;500'}[kind])
    assert "Best by val/acc" in said


def _decoded(text: str) -> Image.Image:
    """What a terminal draws."""
    found = re.fullmatch(r'\x1bPq"1;1;(\d+);(\d+)(.*)\x1b\\', text, re.DOTALL)
    assert found is not None
    shown = Image.new("RGB", (int(found[1]), int(found[2])))
    colours: dict[str, tuple[int, ...]] = {}
    x = y = 0
    now = ""
    for defined, level, colour, count, sign, move in re.findall(
        r"#(\d+);2;([\d;]+)|#(\d+)|(?:!(\d+))?([?-~])|([$-])", found[3]
    ):
        if defined:
            colours[defined] = tuple(round(float(part) * 2.55) for part in level.split(";"))
        elif colour:
            now = colour
        elif move:
            x, y = 0, y + (6 if move == "-" else 0)
        else:
            bits = [bit for bit in range(6) if (ord(sign) - 63) >> bit & 1]
            for column in range(x, x + int(count or 1)):
                for bit in bits:
                    shown.putpixel((column, y + bit), colours[now])
            x += int(count or 1)
    return shown
