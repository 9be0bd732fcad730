"""Reads settings from variables, ``.env``, ``sweeplens.toml`` and ``pyproject.toml`` with pydantic-settings.

It takes as long to import as pydantic itself, so `config` imports it only if there are such settings.
"""

from __future__ import annotations

import logging
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from sweeplens.config_fields import DOTENV, GUARDED, PREFIX, PROJECT, TOML, ConfigFields
from sweeplens.errors import ConfigError

__all__ = ["load_settings"]

log = logging.getLogger("sweeplens.config")

_ROOTS = ("experiment_dir", "roots")


def load_settings(given: Mapping[str, Any]) -> tuple[dict[str, Any], Path | None]:
    """Merges explicit arguments with other settings; arguments win. Also returns the directory of the file that set ``cache_dir``.

    Raises ConfigError, or pydantic's ValidationError.
    """
    try:
        found = _SettingsSources(**given)
    except (SettingsError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(
            f"Settings cannot be read: {error}. Lists and tables in variables are written as JSON."
        ) from error
    names = found.model_fields_set
    by_file = (
        "cache_dir" in names and "cache_dir" not in given and f"{PREFIX}CACHE_DIR" not in map(str.upper, os.environ)
    )
    return {name: getattr(found, name) for name in names}, Path.cwd() if by_file else None


class _SettingsSources(ConfigFields, BaseSettings):
    """The fields with their sources; the first source that sets a field wins."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=DOTENV,
        env_file_encoding="utf-8",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        validate_default=False,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Returns the sources in order: arguments, variables, ``.env``, ``sweeplens.toml``, ``[tool.sweeplens]``."""
        files = {
            DOTENV: _PrefixedDotenv(settings_cls, dotenv_settings),
            TOML: TomlConfigSettingsSource(settings_cls, toml_file=TOML),
            PROJECT: _ProjectTable(settings_cls),
        }
        return (
            init_settings,
            env_settings,
            *(_WithoutGuarded(settings_cls, name, inner) for name, inner in files.items()),
        )


class _ProjectTable(PydanticBaseSettingsSource):
    """The table ``[tool.sweeplens]`` of ``pyproject.toml`` in the working directory."""

    def get_field_value(self, field: object, field_name: str) -> tuple[Any, str, bool]:
        raise NotImplementedError("the table is read as a whole")

    def __call__(self) -> dict[str, Any]:
        path = Path(PROJECT)
        if not path.is_file():
            return {}
        return tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {}).get("sweeplens", {})


class _PrefixedDotenv(PydanticBaseSettingsSource):
    """The lines of ``.env`` with our prefix; the file belongs to a whole project, so others are ignored."""

    def __init__(self, settings_cls: type[BaseSettings], inner: PydanticBaseSettingsSource) -> None:
        super().__init__(settings_cls)
        self._inner = inner

    def get_field_value(self, field: object, field_name: str) -> tuple[Any, str, bool]:
        raise NotImplementedError("the file is read as a whole")

    def __call__(self) -> dict[str, Any]:
        known = self.settings_cls.model_fields
        return {k: v for k, v in self._inner().items() if k in known}


class _WithoutGuarded(PydanticBaseSettingsSource):
    """A file in the working directory, without the settings in `GUARDED`, and without roots at an address.

    Such a root would send this user's credentials to a server that the file's author chose.
    """

    def __init__(self, settings_cls: type[BaseSettings], file: str, inner: PydanticBaseSettingsSource) -> None:
        super().__init__(settings_cls)
        self._file, self._inner = file, inner

    def get_field_value(self, field: object, field_name: str) -> tuple[Any, str, bool]:
        raise NotImplementedError("the file is read as a whole")

    def __call__(self) -> dict[str, Any]:
        found = self._inner()
        guarded = {*GUARDED, *(name for name in _ROOTS if _has_address(found.get(name)))}
        for name in sorted(found.keys() & guarded):
            log.warning(
                "%s in %s is ignored, as another person may have written the file: set the variable %s%s",
                name, Path(self._file).absolute(), PREFIX, name.upper(),
            )  # fmt: skip
        return {name: value for name, value in found.items() if name not in guarded}


def _has_address(value: object) -> bool:
    """Whether a setting names a root that is not on this machine."""
    texts = cast("list[object]", value) if isinstance(value, list | tuple) else [value]
    return any("://" in str(text) and not str(text).lower().startswith("file:") for text in texts)
