"""Settings from outside: variables, ``.env``, ``sweeplens.toml``, ``pyproject.toml``, by pydantic-settings.

It takes as long to import as pydantic itself, so `config` comes here only where something outside speaks of settings.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from sweeplens.config_fields import DOTENV, PREFIX, PROJECT, TOML, ConfigFields
from sweeplens.errors import ConfigError

__all__ = ["load_settings"]


def load_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """What was given, and what is said outside of whatever was not. Raises ConfigError, or pydantic's ValidationError."""
    try:
        found = _SettingsSources(**given)
    except (SettingsError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(
            f"Settings cannot be read: {error}. Lists and tables in variables are written as JSON."
        ) from error
    return {name: getattr(found, name) for name in found.model_fields_set}


class _SettingsSources(ConfigFields, BaseSettings):
    """The fields, and where else they may be said; the first source that names a field wins."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=DOTENV,
        env_file_encoding="utf-8",
        env_nested_delimiter="__",
        toml_file=TOML,
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
        """Arguments, variables, ``.env``, ``sweeplens.toml``, ``[tool.sweeplens]``."""
        toml = TomlConfigSettingsSource(settings_cls)
        project = _ProjectTable(settings_cls)
        return init_settings, env_settings, _PrefixedDotenv(settings_cls, dotenv_settings), toml, project


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
    """A ``.env`` belongs to a whole project: what does not begin with our prefix is none of our business."""

    def __init__(self, settings_cls: type[BaseSettings], inner: PydanticBaseSettingsSource) -> None:
        super().__init__(settings_cls)
        self._inner = inner

    def get_field_value(self, field: object, field_name: str) -> tuple[Any, str, bool]:
        raise NotImplementedError("the file is read as a whole")

    def __call__(self) -> dict[str, Any]:
        known = self.settings_cls.model_fields
        return {k: v for k, v in self._inner().items() if k in known}
