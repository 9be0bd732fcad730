"""Collects the pages of the documentation site below build/site-pages, at the paths that they have in the repository.

So their links among each other stay as they are. A link to a file that is no page (a script, a notebook, a folder) becomes plain
text: the site has no such file. Pictures come along.

    python packaging/site/pages.py
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

_PROJECT = Path(__file__).parents[2]
_PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "benchmarks/README.md", "editor-configs/README.md",
          "examples/third_party_reader/README.md")  # fmt: skip
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s#]+)(#[^)\s]*)?\)")


def collect(target: Path) -> list[Path]:
    """Writes all pages and pictures into an empty folder; returns the paths of the pages."""
    shutil.rmtree(target, ignore_errors=True)
    pages = sorted(_pages())
    known = {(_PROJECT / page).resolve() for page in pages}
    for page in pages:
        source = _PROJECT / page
        _write(target / page, _without_dead_ends(source.read_text(encoding="utf-8"), source.parent, known))
    _write(target / "api.md", (Path(__file__).parent / "api.md").read_text(encoding="utf-8"))
    shutil.copytree(_PROJECT / "docs" / "pictures", target / "docs" / "pictures", ignore=_all_but_pictures)
    return pages


def _pages() -> Iterator[Path]:
    yield from map(Path, _PAGES)
    yield from (p.relative_to(_PROJECT) for p in (_PROJECT / "docs").rglob("*.md"))


def _without_dead_ends(text: str, folder: Path, known: set[Path]) -> str:
    """Keeps the words of links that lead to no page."""

    def kept(link: re.Match[str]) -> str:
        words, goal = link[1], link[2]
        return link[0] if ":" in goal or (folder / goal).resolve() in known else words

    return _LINK.sub(kept, text)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _all_but_pictures(_: str, names: list[str]) -> list[str]:
    return [name for name in names if not name.endswith(".png")]


if __name__ == "__main__":
    collect(_PROJECT / "build" / "site-pages")
