"""An argument parser with errors of one sentence on stderr, and exit code 2."""

from __future__ import annotations

import argparse
from typing import NoReturn

__all__ = ["CommandListFormatter", "SentenceParser"]

_COMMANDS_WIDTH = 17  # the longest command, its indentation, and the space after it


class SentenceParser(argparse.ArgumentParser):
    """Like argparse, but without the usage before each error."""

    def error(self, message: str) -> NoReturn:
        """Exits with the sentence."""
        self.exit(2, f"sweeplens: {message} (see {self.prog} --help)\n")


class CommandListFormatter(argparse.HelpFormatter):
    """Help with a list of commands, each on a line of its own: argparse measures them without their indentation."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=_COMMANDS_WIDTH)
        self._action_max_length = _COMMANDS_WIDTH
