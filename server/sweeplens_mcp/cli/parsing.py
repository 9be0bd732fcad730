"""A parser of arguments whose errors are one sentence on stderr, with exit code 2."""

from __future__ import annotations

import argparse
from typing import NoReturn

__all__ = ["SentenceParser"]


class SentenceParser(argparse.ArgumentParser):
    """As argparse, without the usage before each error."""

    def error(self, message: str) -> NoReturn:
        """End with the sentence."""
        self.exit(2, f"sweeplens: {message} (see {self.prog} --help)\n")
