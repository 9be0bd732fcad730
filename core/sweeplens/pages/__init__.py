"""HTML pages that need no network: templates with everything escaped, a strict policy, and very little script.

    made_page(template, ...)    a whole page; what it may run are exactly the two scripts in it, named by their hash
    page_environment(...)       the templates, for pages that a server makes
    page_file(name)             our script or style, for a server
    as_data(value)              JSON that can stand in a page

Charts are drawn by Vega's interpreter, so that the policy allows no evaluation of text. Where the renderer is not installed
the page has no charts and says how to get them.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["as_data", "made_page", "page_environment", "page_file"]

_FOLDER = Path(__file__).parent / "templates"
_UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def made_page(template: str, *, bundle: str, script: str = "page.js", **values: Any) -> str:
    """A page from a template. ``bundle``: Vega's script, empty where charts cannot be drawn. ``script``: the file of ours."""
    ours = page_file("chart.js") + page_file(script)
    bundle = bundle.replace("</script", "<\\/script")
    page = page_environment().get_template(template)
    return page.render(bundle=bundle, script=ours, style=page_file("page.css"), policy=_policy(ours, bundle), **values)


def page_environment(*folders: Path) -> Environment:
    """The templates, those in ``folders`` first. Everything that they show is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader([*folders, _FOLDER])
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)


def page_file(name: str) -> str:
    """The text of a script or a style beside the templates."""
    return (_FOLDER / name).read_text(encoding="utf-8")


def as_data(value: object) -> str:
    """A value as JSON within a ``<script type="application/json">``, where no text of it can end the element."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    for sign, escaped in _UNSAFE.items():
        text = text.replace(sign, escaped)
    return text


def _policy(*scripts: str) -> str:
    """Nothing from anywhere; these scripts, styles of the page itself, and images within it."""
    allowed = " ".join(f"'{_hash(script)}'" for script in scripts if script)
    inside = "style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    return f"default-src 'none'; script-src {allowed}; {inside}"


def _hash(script: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
