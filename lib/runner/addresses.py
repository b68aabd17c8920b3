"""The addresses of `--notify`, and how a message gets to them.

An address holds a password or a token. So it is in no message, log or file of a run, nor on a command line.
Only a process of its own parses the addresses and talks to their servers: that process gets them through its
standard input, writes nothing but the numbers of addresses, and is killed when a server is slow.
"""

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lib.errors import UsageError
from lib.runner.bounded import run_bounded
from lib.steps import PROJECT, Options

VARIABLE = "PIPELINE_NOTIFY"
SECONDS = 20  # that all messages of a run may take, since the next run may wait for it
SECONDS_TO_CHECK = 60  # nothing is sent; the import takes two seconds, more on a busy machine
START = ("import sys; sys.path.append(sys.argv[1]); import lib.runner.die_with_parent; "
         "from lib.runner.addresses import serve; serve()")
FORM = "An address looks like mailto://… or json://…: see docs/operate.md, Alerts."


@dataclass(frozen=True)
class Message:
    """A message for people: plain text. `kind` is apprise's: failure, success, warning or info."""

    title: str
    body: str
    kind: str


@dataclass(frozen=True)
class Addresses:
    """Addresses to which messages can be sent; `names` says which each one is, without its secrets."""

    entries: tuple[str, ...] = field(repr=False)  # or a traceback would show them
    names: tuple[str, ...]

    def send(self, messages: list[Message]) -> tuple[set[int], list[str]]:
        """Send messages to every address; return the numbers of those that reached one of them, and a line
        for each address that some did not reach.
        """
        _, lines = _ask(self.entries, messages, SECONDS)
        reached = {tuple(json.loads(line)) for line in lines}
        failed = [name for number, name in enumerate(self.names)
                  if any((number, message) not in reached for message in range(len(messages)))]
        return {message for _, message in reached}, [
            f"an alert could not be sent to {name}: its server cannot be reached, refuses it, or took longer "
            f"than {SECONDS} s. The run is not affected" for name in failed]


def read_addresses(notify: str, options: Options) -> Addresses:
    """Return the addresses in the file that `--notify` names, or in the environment if `notify` is "".

    The variable is taken out of the environment: no notebook and no hook can show it. Raises UsageError for
    addresses that cannot be used, naming their line or number.
    """
    if notify:
        entries, names = _read_file(notify, options)
    else:
        entries = _split(os.environ.pop(VARIABLE, ""))
        names = [f"address {number} of {VARIABLE}" for number in range(1, len(entries) + 1)]
        if not entries:
            raise UsageError(f"--notify finds no address in the environment variable {VARIABLE}. Set it, or "
                             "name a file with addresses: --notify FILE")
    code, lines = _ask(entries, [], SECONDS_TO_CHECK)
    if code != 0 or len(lines) != len(entries):
        raise UsageError("--notify: the addresses could not be checked, because the package apprise does not "
                         "work here. Install what is locked in requirements.txt.")
    found = [json.loads(line) for line in lines]
    names = [f"{name} ({kind})" if kind else name for name, (kind, _) in zip(names, found, strict=True)]
    if wrong := [name for name, (_, is_usable) in zip(names, found, strict=True) if not is_usable]:
        which = "is no address" if len(wrong) == 1 else "are no addresses"
        raise UsageError(f"--notify: {', '.join(wrong)} {which} that can be used. {FORM}")
    return Addresses(tuple(entries), tuple(names))


def _read_file(name: str, options: Options) -> tuple[list[str], list[str]]:
    """Return the addresses in a file, one a line, and what to call each."""
    if "://" in name:
        raise UsageError("--notify takes a file with addresses, and no address: everyone on this machine can "
                         f"read a command line. Write it into a file, or into the variable {VARIABLE}.")
    path = Path(name).resolve()
    for folder in (PROJECT, options.source, options.warehouse, options.reports):
        if path.is_relative_to(folder.resolve()):
            raise UsageError(f"--notify: {path} is in {folder}, where it would be committed, read or shown. "
                             "Keep addresses elsewhere.")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UsageError(f"--notify: {path} is no UTF-8 text. Write one address a line.") from error
    except OSError as error:
        raise UsageError(f"--notify: {path} cannot be read ({error.strerror}). Correct that, or name another "
                         "file.") from error
    found = {number: line.strip() for number, line in enumerate(lines, 1)
             if line.strip() and not line.strip().startswith(("#", ";"))}
    if not found:
        raise UsageError(f"--notify: {path} holds no address. Write one a line.")
    return list(found.values()), [f"line {number} of {path}" for number in found]


def _split(text: str) -> list[str]:
    """Return the addresses in a text as apprise splits it: at blanks, commas or semicolons before the next
    one. What stands before the first address is returned as an address, which is then a wrong one.
    """
    parts = re.split(r"(?i)[\s,;]+(?=[a-z0-9]+://)", text)
    return list(filter(None, (part.strip(" \t\n\r,;") for part in parts)))


def _ask(entries: tuple[str, ...] | list[str], messages: list[Message],
         seconds: float) -> tuple[int | None, list[str]]:
    """Let a process of its own answer; return its exit code, None if it took too long, and its lines."""
    question = {"entries": entries, "messages": [asdict(message) for message in messages]}
    code, written = run_bounded(
        [sys.executable, "-P", "-c", START, str(PROJECT)], json.dumps(question), seconds,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env={**os.environ, "PIPELINE_RUNNER": str(os.getpid())})  # for lib.runner.die_with_parent
    # The last line of a process that was killed may be half a line.
    return code, written.decode().rpartition("\n")[0].splitlines()


def serve() -> None:
    """Answer the question on standard input: send its messages, or say which addresses can be used.

    Without messages, the answer has a line for each address: its kind ("" if unknown), and whether it can be
    used. Otherwise it has a line for each message that reached an address: the numbers of the two.
    """
    question = json.load(sys.stdin)
    services = [_service(entry) for entry in question["entries"]]
    if not question["messages"]:
        for entry, service in zip(question["entries"], services, strict=True):
            print(json.dumps([_kind(entry), service is not None]))
        return
    with ThreadPoolExecutor(len(services)) as threads:
        for number, service in enumerate(services):
            threads.submit(_send, number, service, question["messages"])


def _service(entry: str) -> Any:
    """Return what sends to an address, which may have tags before it; None if it cannot be used."""
    from apprise import AppriseAsset  # here, as below: only the process of its own imports it
    from apprise.config.base import ConfigBase

    if sum("://" in part for part in _split(entry)) > 1:
        return None  # apprise would take a second address in a line for the end of the first
    asset = AppriseAsset(app_id="Shop pipeline", app_desc="Shop pipeline")
    services, _ = ConfigBase.config_parse_text(entry, asset=asset)
    return services[0] if services else None


def _kind(entry: str) -> str:
    """Return the kind of an address, such as "mailto"; "" for one that apprise does not know."""
    from apprise.manager_plugins import NotificationManager

    named = re.search(r"(?i)(?:^|=)\s*([a-z0-9]+)://", entry)
    return named[1].lower() if named and named[1].lower() in NotificationManager() else ""


def _send(number: int, service: Any, messages: list[dict[str, str]]) -> None:
    from apprise import Apprise, NotifyFormat

    for which, message in enumerate(messages):
        if service and Apprise(service).notify(
                message["body"], title=message["title"], notify_type=message["kind"],
                body_format=NotifyFormat.TEXT):
            print(json.dumps([number, which]), flush=True)  # one write: threads do not mix their lines
