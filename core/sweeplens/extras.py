"""Packages that come with an extra of the installation, not by default: docs/decisions/0006 says why.

is_installed(package)    whether it is there; nothing is imported
how_to_install(extra)    the command that adds an extra to this installation
not_installed(package)   a sentence with the command that installs it
missing_extras()         what this installation lacks, for `sweeplens doctor`
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from msgspec import Struct

__all__ = ["EXTRAS", "Extra", "how_to_install", "is_installed", "missing_extras", "not_installed"]


class Extra(Struct, frozen=True):
    """The extra that brings a package, and what the package is needed for."""

    name: str
    purpose: str


EXTRAS: Mapping[str, Extra] = {
    "vl_convert": Extra("charts", "pictures as files (PNG, SVG, PDF, HTML) and in reports"),
    "deltalake": Extra("delta", "Delta Lake's log in the store, by which other engines read its tables"),
    "obstore": Extra("object-store", "a root or a store at s3://, gs:// or az://"),
    "fsspec": Extra("remote", "a root at sftp:// or hf://"),
    "pyspark": Extra("spark", "an engine on a Spark cluster (sc://host:15002)"),
    "pandas": Extra("pandas", "answers as pandas frames (to_pandas)"),
}
"""Modules by which each extra is known."""


def is_installed(package: str) -> bool:
    """Whether a package can be imported."""
    return find_spec(package) is not None


def how_to_install(extra: str) -> str:
    """Returns the command that adds an extra to this installation: one of `uv tool` or of pip, from a checkout or an index."""
    command = "uv tool install" if Path(sys.prefix, "uv-receipt.toml").is_file() else "pip install"
    by_name, in_checkout = f"{command} 'sweeplens[{extra}]'", f"{command} '.[{extra}]' in the checkout"
    if not _is_from_folder():
        return by_name
    return in_checkout if command.startswith("uv") else f"{in_checkout}, or {by_name} in this environment"


def _is_from_folder() -> bool:
    """Returns whether this installation was made from a folder: pip and uv write down the origin (PEP 610)."""
    from importlib.metadata import PackageNotFoundError, distribution  # few need it

    try:
        origin = distribution("sweeplens").read_text("direct_url.json")
    except PackageNotFoundError:
        return True  # imported from a folder, without an installation
    return '"dir_info"' in (origin or "")


def not_installed(package: str) -> str:
    """Returns a sentence: what needs the package, and how to install it."""
    extra = EXTRAS[package]
    return f"{extra.purpose} needs the package {package}: {how_to_install(extra.name)}"


def missing_extras() -> list[str]:
    """Returns for each package that is not installed what it is for, and how to install it."""
    missing = {package: extra for package, extra in EXTRAS.items() if not is_installed(package)}
    return [f"{package}, for {extra.purpose}: {how_to_install(extra.name)}" for package, extra in missing.items()]
