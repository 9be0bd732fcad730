"""Opens the database that settings name. Nothing of the protocol is imported, so the command line starts fast."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sweeplens.errors import RootError
from sweeplens_mcp.settings import Settings

if TYPE_CHECKING:
    from sweeplens.experiment_db import ExperimentDB

__all__ = ["open_database"]


def open_database(settings: Settings) -> ExperimentDB:
    """The database of these settings; imports the library. Raises RootError or ConfigError."""
    from sweeplens.config import AnalysisConfig
    from sweeplens.experiment_db import ExperimentDB

    config = AnalysisConfig()
    try:
        return ExperimentDB(config, base_path=list(settings.roots) or None)
    except RootError as error:
        if settings.roots:
            raise
        is_default = config.experiment_dir == AnalysisConfig.model_fields["experiment_dir"].default
        why = (
            f"the default {config.experiment_dir!r} is not there."
            if is_default
            else f"the configured one fails: {error}"
        )
        raise RootError(
            f"No folder was named, and {why} Name one, as DIR or --root DIR, or set ANALYSIS_EXPERIMENT_DIR."
        ) from error
