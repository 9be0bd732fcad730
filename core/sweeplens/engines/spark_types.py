"""The few methods of a Spark Connect client that are used here, as types: the client itself is an extra of the installation."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Protocol, cast

__all__ = ["SparkColumn", "SparkFrame", "SparkFunctions", "SparkGroups", "SparkSession", "functions"]


class SparkColumn(Protocol):
    """An expression of Spark."""

    def isin(self, *values: object) -> SparkColumn: ...
    def alias(self, name: str) -> SparkColumn: ...
    def __invert__(self) -> SparkColumn: ...


class SparkGroups(Protocol):
    """A frame that is grouped."""

    def agg(self, *columns: SparkColumn) -> SparkFrame: ...


class SparkFrame(Protocol):
    """A plan of Spark: nothing runs before `toArrow`."""

    def filter(self, condition: SparkColumn | str) -> SparkFrame: ...
    def select(self, *columns: str | SparkColumn) -> SparkFrame: ...
    def selectExpr(self, *expressions: str) -> SparkFrame: ...  # noqa: N802
    def groupBy(self, *columns: str) -> SparkGroups: ...  # noqa: N802
    def agg(self, *columns: SparkColumn) -> SparkFrame: ...
    def join(self, other: SparkFrame, on: list[str], how: str = "inner") -> SparkFrame: ...
    def unionByName(self, other: SparkFrame) -> SparkFrame: ...  # noqa: N802
    def limit(self, num: int) -> SparkFrame: ...
    def repartitionByRange(self, numPartitions: int, *cols: str) -> SparkFrame: ...  # noqa: N802, N803
    def mapInArrow(self, func: Any, schema: str) -> SparkFrame: ...  # noqa: N802
    def toArrow(self) -> Any: ...  # noqa: N802


class SparkSession(Protocol):
    """A session of a Spark Connect server."""

    client: Any
    conf: Any
    read: Any

    def createDataFrame(self, data: Any, schema: str | None = None) -> SparkFrame: ...  # noqa: N802
    def sql(self, sqlQuery: str) -> SparkFrame: ...  # noqa: N803
    def addArtifacts(self, *path: str, archive: bool = False) -> None: ...  # noqa: N802
    def registerProgressHandler(self, handler: Any) -> None: ...  # noqa: N802
    def addTag(self, tag: str) -> None: ...  # noqa: N802
    def interruptTag(self, tag: str) -> list[str]: ...  # noqa: N802


class SparkFunctions(Protocol):
    """The functions that make expressions."""

    def col(self, name: str) -> SparkColumn: ...
    def expr(self, text: str) -> SparkColumn: ...
    def lit(self, value: object) -> SparkColumn: ...


def functions() -> SparkFunctions:
    """Returns the client's functions; the client is imported by the first use."""
    return cast("SparkFunctions", import_module("pyspark.sql.connect.functions"))
