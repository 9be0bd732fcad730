"""Opens the database that settings name. Nothing of the protocol is imported, so the command line starts fast."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sweeplens_mcp.settings import Settings

if TYPE_CHECKING:
    from sweeplens.experiment_db import ExperimentDB

__all__ = ["open_database"]


def open_database(settings: Settings) -> ExperimentDB:
    """The database of these settings; imports the library. Raises RootError or ConfigError."""
    from sweeplens.config import AnalysisConfig
    from sweeplens.experiment_db import ExperimentDB

    return ExperimentDB(AnalysisConfig(), base_path=list(settings.roots) or None)
