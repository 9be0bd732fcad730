"""An argument parser with errors of one sentence on stderr, and exit code 2."""

from __future__ import annotations

import argparse
from typing import NoReturn

__all__ = ["SentenceParser"]


class SentenceParser(argparse.ArgumentParser):
    """Like argparse, but without the usage before each error."""

    def error(self, message: str) -> NoReturn:
        """Exits with the sentence."""
        self.exit(2, f"sweeplens: {message} (see {self.prog} --help)\n")
