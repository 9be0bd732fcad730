"""HTML pages that need no network: templates with everything escaped, a strict content security policy, little script.

    made_page(template, ...)    a whole page; its policy allows exactly its two scripts, by their hashes
    page_environment(...)       the templates, for pages of a server
    page_file(name)             our script or style, for a server
    as_data(value)              JSON that can stand in a page

Charts are drawn by Vega's interpreter, so the policy can forbid the evaluation of text. If the renderer is not installed, the
page has no charts and says how to get them.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeplens.visible_text import visible_json, visible_lines

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["as_data", "made_page", "page_environment", "page_file"]

_FOLDER = Path(__file__).parent / "templates"
_UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def made_page(template: str, *, bundle: str, script: str = "page.js", **values: Any) -> str:
    """Returns a page from a template. ``bundle``: Vega's script, empty if charts cannot be drawn. ``script``: our own file."""
    page_script = page_file("chart.js") + page_file(script)
    bundle = bundle.replace("</script", "<\\/script")
    page = page_environment().get_template(template)
    return page.render(
        bundle=bundle, script=page_script, style=page_file("page.css"), policy=_policy(page_script, bundle), **values
    )


def page_environment(*folders: Path) -> Environment:
    """Returns the templates, those in ``folders`` first.

    All text in them is escaped and visible. A value that a form sends back stays as it is: its template writes ``| e``.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader([*folders, _FOLDER])
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, finalize=_finalized)


def page_file(name: str) -> str:
    """Returns the text of a script or a style beside the templates."""
    return (_FOLDER / name).read_text(encoding="utf-8")


def as_data(value: object) -> str:
    """Returns a value as JSON for a ``<script type="application/json">``; no text in it can end the element."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    for sign, escaped in _UNSAFE.items():
        text = text.replace(sign, escaped)
    return visible_json(text)


def _finalized(value: object) -> object:
    """Makes a text visible, unless a template marked it as markup."""
    return visible_lines(value) if type(value) is str else value


def _policy(*scripts: str) -> str:
    """Returns the policy: these scripts, styles and images inside the page, and nothing else."""
    allowed = " ".join(f"'{_hash(script)}'" for script in scripts if script)
    inside = "style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    return f"default-src 'none'; script-src {allowed}; {inside}"


def _hash(script: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
