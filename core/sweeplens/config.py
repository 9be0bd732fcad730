"""`AnalysisConfig`: settings from arguments, environment and files, with errors that name the field.

The first source that sets a field wins: arguments, ``ANALYSIS_*`` variables, ``.env``, ``sweeplens.toml``, the table
``[tool.sweeplens]`` of ``pyproject.toml``, defaults. Files are read from the working directory.

Such a file may belong to another person's repository. So it cannot weaken this user's protection (`GUARDED`), and its
``cache_dir`` counts only if that folder and all experiments are below the directory of the file.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Self

from pydantic import PrivateAttr, ValidationError

from sweeplens.config_fields import DOTENV, PREFIX, PROJECT, TOML, ConfigFields, Goal, Thresholds
from sweeplens.engines.address import shown_address
from sweeplens.errors import ConfigError, nearest

__all__ = ["AnalysisConfig", "Goal", "Thresholds"]


class AnalysisConfig(ConfigFields):
    """Settings of the library and the server. Frozen; `ConfigError` names the field, the fault and the remedy."""

    _cache_dir_from: Path | None = PrivateAttr(default=None)

    def __init__(self, **values: Any) -> None:
        folder = None
        try:
            if _settings_exist():
                values, folder = _merged_with_settings(values)
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigError(_error_text(error)) from error
        self._cache_dir_from = folder

    @property
    def cache_dir_from(self) -> Path | None:
        """Returns the directory whose file set ``cache_dir``; None if it is an argument, a variable or the default."""
        return self._cache_dir_from

    def with_roots(self, *roots: str | Path) -> Self:
        """Returns the same settings for other folders."""
        first, *rest = (str(r) for r in roots)
        return self.model_copy(update={"experiment_dir": first, "roots": tuple(rest)})


def _merged_with_settings(values: dict[str, Any]) -> tuple[dict[str, Any], Path | None]:
    from sweeplens.settings_sources import load_settings

    return load_settings(values)


def _settings_exist() -> bool:
    """Whether variables or files contain settings; this takes a hundredth of the time of importing `settings_sources`."""
    return (
        any(name.upper().startswith(PREFIX) for name in os.environ)
        or PREFIX in _text(DOTENV).upper()
        or bool(_text(TOML))
        or ("sweeplens" in (project := _text(PROJECT)) and _has_our_table(project))
    )


def _text(file: str) -> str:
    """Returns the text of a file in the working directory; for an unreadable one, text that makes `load_settings` report it."""
    try:
        return Path(file).read_bytes().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    except OSError:
        return f"{PREFIX} sweeplens"


def _has_our_table(project: str) -> bool:
    import tomllib

    try:
        return "sweeplens" in tomllib.loads(project).get("tool", {})
    except tomllib.TOMLDecodeError:
        return True


def _error_text(error: ValidationError) -> str:
    """Returns, for each wrong field, the fault and the nearest field or the remedy."""
    parts: list[str] = []
    for detail in error.errors():
        field = ".".join(str(p) for p in detail["loc"])
        if detail["type"] == "extra_forbidden":
            near = nearest(field, AnalysisConfig.model_fields)
            parts.append(f"No setting {field!r}." + (f" Nearest: {', '.join(map(repr, near))}." if near else ""))
            continue
        known = AnalysisConfig.model_fields.get(str(detail["loc"][0]))
        remedy = f" It is {known.description}." if known and known.description else ""
        given = shown_address(detail["input"]) if field == "engine" else detail["input"]  # no token in an error
        parts.append(
            f"Setting {field!r} (ANALYSIS_{str(detail['loc'][0]).upper()}): {detail['msg']}, got {given!r}.{remedy}"
        )
    return " ".join(parts)
