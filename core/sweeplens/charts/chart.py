"""`Chart`: a chart as a value, which is a Vega-Lite specification with its data, the main finding in words, and the basis.

The specification has no colours of a page: `to_dict(theme)` adds those of the light or dark theme. Images are rendered on
demand, in another process (`rendering`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from msgspec import Struct

from sweeplens.answers import Basis
from sweeplens.charts.theme import check_theme, config_of
from sweeplens.errors import InputError, RenderError, UnknownNameError

__all__ = ["FORMATS", "SCHEMA", "Chart", "Spec"]

Spec = dict[str, Any]
"""A Vega-Lite specification, or a part of one."""

SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"
FORMATS = ("png", "svg", "pdf", "html", "json")
_NOTEBOOK_TYPE = "application/vnd.vegalite.v5+json"


class Chart(Struct, frozen=True):
    """``caption``: what the picture shows, with numbers; also the alternative text."""

    kind: str
    title: str
    caption: str
    spec: Spec
    basis: Basis = Basis()

    def to_dict(self, theme: str = "light") -> Spec:
        """Returns the whole specification, for any Vega-Lite 5 viewer."""
        check_theme(theme)
        return {"$schema": SCHEMA, "description": self.caption, "config": config_of(theme), **self.spec}

    def to_altair(self) -> Any:
        """Returns an Altair chart, to continue with. Raises RenderError if Altair is not installed."""
        try:
            import altair  # pyright: ignore[reportMissingImports]
        except ModuleNotFoundError as error:
            raise RenderError(
                "to_altair needs Altair: pip install altair. to_dict() gives the specification."
            ) from error
        return altair.Chart.from_dict(self.to_dict())  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]

    def png(self, theme: str = "light", *, scale: float = 1.0, most_bytes: int = 0) -> bytes:
        """Returns a PNG image; with ``most_bytes``, one of few colours that is not larger. Raises RenderError."""
        from sweeplens.charts.rendering import render

        return render(self.to_dict(theme), "png", scale=scale, most_bytes=most_bytes)

    def svg(self, theme: str = "light") -> str:
        """Returns an SVG image. Raises RenderError."""
        from sweeplens.charts.rendering import render

        return render(self.to_dict(theme), "svg").decode()

    def html(self, theme: str = "light") -> str:
        """Returns a self-contained page that needs no network. Raises RenderError."""
        from sweeplens.charts.page import chart_page

        return chart_page(self, theme)

    def save(self, path: str | Path, theme: str = "light") -> Path:
        """Writes the chart in the format of the file's suffix: .png, .svg, .pdf, .html or .json. Raises InputError."""
        target = Path(path)
        ending = target.suffix.removeprefix(".").lower()
        if ending not in FORMATS:
            raise UnknownNameError.of(
                "picture format", ending or target.name, FORMATS, hint=f"Use .{', .'.join(FORMATS)}."
            )
        content = self._encoded(ending, theme)
        try:
            target.write_bytes(content)
        except OSError as error:
            raise InputError(f"The picture cannot be written to {str(target)!r}: {error.strerror or error}.") from error
        return target

    def _encoded(self, ending: str, theme: str) -> bytes:
        if ending == "json":
            return json.dumps(self.to_dict(theme), indent=1, ensure_ascii=False).encode()
        if ending == "html":
            return self.html(theme).encode()
        if ending == "png":
            return self.png(theme, scale=2.0)
        from sweeplens.charts.rendering import render

        return render(self.to_dict(theme), ending)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        """Returns what a notebook shows: the specification, and a PNG for those that cannot draw it."""
        shown: dict[str, Any] = {_NOTEBOOK_TYPE: self.to_dict(), "text/plain": f"{self.title}\n{self.caption}"}
        from sweeplens.charts.rendering import can_render

        return shown | ({"image/png": self.png()} if can_render() else {})
