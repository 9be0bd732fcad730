"""The documentation site has every page, and no link that leads nowhere. `make site` builds it."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

PROJECT = Path(__file__).parents[2]
LINK = re.compile(r"\[[^\]]+\]\(([^)\s#:]+)(?:#[^)]*)?\)")


def _collector() -> ModuleType:
    spec = importlib.util.spec_from_file_location("site_pages", PROJECT / "packaging" / "site" / "pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_link_and_picture_of_the_site_leads_to_a_file_of_it(tmp_path: Path) -> None:
    pages = _collector().collect(tmp_path)
    assert Path("docs/statistics.md") in pages
    for page in tmp_path.rglob("*.md"):
        text = page.read_text(encoding="utf-8")
        goals = [*LINK.findall(text), *re.findall(r'(?:src|srcset)="([^":]+)"', text)]
        assert [goal for goal in goals if not (page.parent / goal).exists()] == [], page


def test_every_page_but_single_decisions_is_in_the_navigation(tmp_path: Path) -> None:
    pages = {str(p) for p in _collector().collect(tmp_path)}
    named = set(re.findall(r": (\S+\.md)$", (PROJECT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE))
    single = {p for p in pages if p.startswith("docs/decisions/0")}
    assert named == (pages - single) | {"api.md"}


def test_a_link_to_a_file_that_is_no_page_keeps_its_words(tmp_path: Path) -> None:
    _collector().collect(tmp_path)
    assert "](examples)" in (PROJECT / "README.md").read_text(encoding="utf-8")
    assert "](examples)" not in (tmp_path / "README.md").read_text(encoding="utf-8")
