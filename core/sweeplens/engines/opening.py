"""Opens the engine that the setting ``engine`` names: Polars in this process, or a Spark cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sweeplens.engines.address import is_cluster, shown_address
from sweeplens.engines.polars_points import PolarsEngine
from sweeplens.engines.protocol import Engine
from sweeplens.errors import ConfigError, MissingExtraError
from sweeplens.extras import is_installed, not_installed

if TYPE_CHECKING:
    from sweeplens.engines.spark_session import SparkConnection

__all__ = ["cluster_connection", "open_engine"]


def open_engine(setting: str, *, keeps_files: bool) -> Engine:
    """Returns the engine. No connection is made before the first question that needs points.

    Raises ConfigError for a cluster without a store that it could read, MissingExtraError without its client.
    """
    if not is_cluster(setting):
        return PolarsEngine()
    if not keeps_files:
        raise ConfigError(
            f"Setting 'engine' is {shown_address(setting)}, and cache='memory' keeps no store. A cluster reads the files of "
            "the store: leave out cache, and set ANALYSIS_CACHE_DIR to a folder that every executor can read, or to an "
            "object store (s3://bucket/prefix)."
        )
    _require_client()
    from sweeplens.engines.spark_points import engine_at

    return engine_at(setting)


def cluster_connection(setting: str) -> SparkConnection:
    """Returns this process's connection to the cluster that a setting names; nothing is connected yet. Raises ConfigError."""
    if not is_cluster(setting):
        raise ConfigError("No cluster is named: give its address, engine='sc://host:15002' or ANALYSIS_ENGINE.")
    _require_client()
    from sweeplens.engines.spark_points import connection_to

    return connection_to(setting)


def _require_client() -> None:
    if not is_installed("pyspark"):
        raise MissingExtraError(f"{not_installed('pyspark')}.")
