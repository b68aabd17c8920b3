"""What the commands share: exit codes, and options whose errors are one line."""

import argparse
import re
from collections.abc import Sequence
from typing import NoReturn

from lib.errors import UsageError, closest


class Parser(argparse.ArgumentParser):
    """An argument parser that says what is wrong in one line, without the usage before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(UsageError.exit_code, f"error: {message}; --help lists the options\n")

    def parse_args(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Return the options; exits with 2 for wrong ones, offering the closest one for a misspelt name."""
        given, unknown = self.parse_known_args(arguments)
        if unknown:
            options = re.findall(r"--[\w-]+", self.format_usage())
            self.error(f"unknown option {unknown[0]!r}{closest(unknown[0], options)}")
        return given
