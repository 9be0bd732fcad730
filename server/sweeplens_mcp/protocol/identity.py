"""How the server introduces itself: a sentence, its page on the package index, and an icon that needs no network."""

from __future__ import annotations

from urllib.parse import quote

from mcp.types import Icon

__all__ = ["DESCRIPTION", "ICONS", "WEBSITE"]

DESCRIPTION = "Answers questions about folders of deep-learning experiments."
WEBSITE = "https://pypi.org/project/sweeplens/"
_SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 48 48"><rect width="48" height="48" rx="10" fill="#12324a"/>'
    '<path d="M8 12c8 20 16 24 32 25" fill="none" stroke="#4fc3f7" stroke-width="4" stroke-linecap="round"/>'
    '<path d="M8 22c8 8 18 9 32 7" fill="none" stroke="#ffb74d" stroke-width="4" stroke-linecap="round"/></svg>'
)
ICONS = [Icon(src=f"data:image/svg+xml,{quote(_SVG)}", mime_type="image/svg+xml", sizes=["any"])]
