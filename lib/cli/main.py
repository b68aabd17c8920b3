"""The command itself: it starts a run, or the verb that is named first, and shows an error as one line."""

import os
import signal
import sys
from importlib import import_module
from typing import Any, NoReturn

import click
from click.core import ParameterSource

from lib.cli.options import RUN, epilog
from lib.cli.run import run
from lib.errors import DONE, INTERRUPTED, UsageError, as_ours, closest, printable

NAME = "run_pipeline.py"
VERBS = {  # each has a file in this folder, which this list does not import
    "plan": "say what a run would do and why, without doing it",
    "preview": "say what the rules as they are now would do to all tables",
    "status": "say how things stand and what to do next",
    "adopt": "look at files as they are, and propose how to read them",
    "add": "add a source: its contract, suites, meanings, and the cells that load it",
    "watch": "run whenever deliveries arrive, until Ctrl-C",
    "replay": "rebuild the warehouse as a past run left it, and compare",
    "verify": "check the records and compare every table with one full load",
    "import": "bring a warehouse of SQLite files over to Spark",
    "query": "show what is in the databases, or ask what you want to see",
    "browse": "show databases and reports in a web browser",
}
ELSEWHERE = {  # what became of options that crontabs and units may still have
    **{f"--{verb}": f"is now a verb: {NAME} {verb}" for verb in ("plan", "status", "watch", "verify")},
    "--replay": f"is now a verb: {NAME} replay BATCH_ID",
    "--import-from": f"is now a verb: {NAME} import DIR",
    "--json": "goes with status; for a run it is --log-format json",
    "--into": "goes with replay and verify; for a run it is --warehouse",
}
OWN_SIGNALS = ("query", "browse")  # the menu goes on after Ctrl-C, and the server ends in its own way


class Verbs(click.Group):
    """A run, and verbs that are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        module = "import_" if name == "import" else name  # a keyword cannot name a module
        return import_module(f"lib.cli.{module}").command if name in VERBS else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs, instead of a run"):
            formatter.write_dl(VERBS.items())


@click.command(
    cls=Verbs, invoke_without_command=True, subcommand_metavar="[VERB [OPTIONS]]",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=epilog("--source /srv/deliveries --quiet",
                  "0 done, 1 a step failed, 2 wrong use or configuration, 3 another run is going on, "
                  "130 interrupted",
                  f"A verb has options of its own, which follow it: {NAME} plan --help"))
@RUN
@click.pass_context
def command(ctx: click.Context, **given: Any) -> int | None:
    """Read what is new in the source folder and carry it through raw, curated and gold."""
    verb = ctx.invoked_subcommand
    if verb not in OWN_SIGNALS:
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, _stop)
    if verb is None:
        return run(**given)
    for option in ctx.command.params:
        if ctx.get_parameter_source(option.name) is ParameterSource.COMMANDLINE:
            name = option.opts[0]
            raise click.UsageError(f"{name} stands before {verb}; write it after: {NAME} {verb} {name}")
    return None


def _stop(*_: object) -> NoReturn:
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_IGN)  # stopping takes about a second: asking once is enough
    raise KeyboardInterrupt


def main(arguments: list[str]) -> int:
    """Run the pipeline, or the verb that was asked for instead, and return the exit code."""
    try:
        # Not through click's main, which turns Ctrl-C into an exception of its own after an empty line.
        with command.make_context(NAME, list(arguments)) as context:
            return command.invoke(context) or DONE
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.UsageError as error:
        print(f"error: {printable(explain(error))}; --help lists the options", file=sys.stderr)
        return UsageError.exit_code
    except KeyboardInterrupt:
        print("stopped: what was published stays, and the step that was running left nothing; run again to "
              "continue", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        if isinstance(error, BrokenPipeError) and {"-h", "--help"}.intersection(arguments):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has seen enough help
            return DONE
        ours = as_ours(error)
        print(f"error: {printable(str(ours))}", file=sys.stderr)
        return ours.exit_code


def explain(error: click.UsageError) -> str:
    """Return in one line what is wrong with a command line."""
    if isinstance(error, click.NoSuchOption):
        name = error.option_name
        if name in ELSEWHERE and error.ctx.command is command:
            return f"{name} {ELSEWHERE[name]}"
        return f"unknown option {name!r}{closest(name, error.possibilities or ())}"
    if isinstance(error, click.exceptions.NoSuchCommand):
        return f"unknown verb {error.command_name!r}{closest(error.command_name, VERBS)}"
    words = " ".join(error.format_message().split()).removesuffix(".")
    return words[:1].lower() + words[1:]
