"""Run the command on a pseudo-terminal, and work out what a person sees in the end."""

import re
from collections.abc import Sequence

import pexpect


def on_terminal(command: Sequence[str]) -> pexpect.spawn:
    """Start a command on a terminal of its own."""
    return pexpect.spawn(command[0], [str(word) for word in command[1:]], encoding="utf-8",
                         dimensions=(50, 160), timeout=120)


def run_on_terminal(command: Sequence[str], expect: int = 0) -> str:
    """Run a command on a terminal and return all that it wrote; fail on another exit code than expected."""
    terminal = on_terminal(command)
    written = terminal.read()
    terminal.close()
    assert terminal.exitstatus == expect, written
    return written


def seen(written: str) -> str:
    """Return what is then on the screen. It knows lines, moves to their start and up, and erasing."""
    lines, row = [""], 0
    for token in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", written):
        if token == "\n":
            row += 1
            if row == len(lines):
                lines.append("")
        elif token == "\x1b[2K":
            lines[row] = ""
        elif match := re.fullmatch(r"\x1b\[(\d*)A", token):
            row -= int(match[1] or 1)
        elif token[0] not in "\x1b\r":
            lines[row] += token
    return "\n".join(lines)
