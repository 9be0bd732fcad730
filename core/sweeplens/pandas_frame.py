"""A Polars frame as a pandas frame, without pyarrow. pandas comes with the extra `pandas`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sweeplens.errors import MissingExtraError
from sweeplens.extras import is_installed, not_installed

if TYPE_CHECKING:
    import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
    import polars as pl

__all__ = ["to_pandas"]


def to_pandas(frame: pl.DataFrame) -> pd.DataFrame:
    """Returns the same columns and rows for pandas: times are UTC, categories are categories, lists are Python lists.

    A whole number that is missing makes its column one of pandas' nullable integers. Raises MissingExtraError without pandas.

    >>> to_pandas(db.runs_df)  # doctest: +SKIP
    """
    if not is_installed("pandas"):
        raise MissingExtraError(f"{not_installed('pandas')}.")
    import pandas as pd  # pyright: ignore[reportMissingTypeStubs]

    return pd.DataFrame({name: _column(frame[name]) for name in frame.columns}, columns=frame.columns)


def _column(values: pl.Series) -> object:
    import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
    import polars as pl

    if values.dtype.is_integer() and values.null_count():
        return pd.array(values.to_list(), dtype="Int64")
    if isinstance(values.dtype, pl.Boolean) and values.null_count():
        return pd.array(values.to_list(), dtype="boolean")
    if isinstance(values.dtype, pl.Datetime):
        times: list[Any] = values.to_list()
        return pd.DatetimeIndex(pd.to_datetime(times, utc=values.dtype.time_zone is not None))  # pyright: ignore[reportUnknownMemberType]
    if isinstance(values.dtype, pl.Categorical | pl.Enum):
        return pd.Categorical(values.to_list())
    return values.to_numpy() if values.dtype.is_numeric() else pd.Series(values.to_list(), dtype=object)
