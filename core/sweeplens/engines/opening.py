"""Opens the engine that the setting ``engine`` names: Polars in this process, or a Spark cluster."""

from __future__ import annotations

from functools import cache

from sweeplens.engines.address import is_cluster, parse_address, shown_address
from sweeplens.engines.polars_points import PolarsEngine
from sweeplens.engines.protocol import Engine
from sweeplens.errors import ConfigError, MissingExtraError
from sweeplens.extras import is_installed, not_installed

__all__ = ["open_engine"]


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
    if not is_installed("pyspark"):
        raise MissingExtraError(f"{not_installed('pyspark')}.")
    return _cluster(setting)


@cache
def _cluster(setting: str) -> Engine:
    """Returns the engine of a cluster; one connection for each address in a process."""
    from sweeplens.engines.spark_points import SparkEngine
    from sweeplens.engines.spark_session import SparkConnection

    return SparkEngine(SparkConnection(parse_address(setting)))
