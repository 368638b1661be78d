"""The commands of `stillwing`: what each does, in one sentence, and how it is imported when it is called.

Importing all of them takes ten times as long as importing one, so the help of `stillwing` is made from the table below
and only the module of the command that is called is imported.
"""

import io
import os
import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

COMMANDS = {
    "up": "Start simulator, bridge, memory, engine and agent, and keep them up until Ctrl-C.",
    "fly": "Fly one mission, show it live, and store a report. Exit code 0 only if it was achieved.",
    "instruct": "Give the mission under way a further instruction; the vehicle holds while it is read.",
    "ask": "Ask the model of the mission under way a question; it answers at its next pause and flies on.",
    "answer": "Answer the question for which the mission under way waits, holding.",
    "status": "Show every service: address, health, model, sessions, vehicle, lease holder, missions.",
    "watch": "Follow a mission's events, live, until it ends.",
    "stop": "Emergency stop: every vehicle holds, lands or stops its motors, and refuses motion until it is cleared.",
    "record": "Fly by keyboard or script, and record it. Exit code 1 if a command of a script failed.",
    "replay": "Serve a recording through the bridge's own protos, so that agents and engines can be tried on it.",
    "certs": "Make a development authority, a server's and a client's certificate, and a bearer token.",
    "check-model": "Check what a model is and does on this machine: agreement, speed, answers, pointing.",
    "check-simulator": "Check what an AirSim simulator answers, line by line, with what to do.",
    "doctor": "Say what is missing on this machine and the command that fixes it.",
    "check-agent": "Put any agent through its contract, in a simulator of its own, and print a page. Exit code 1 if it "
    "breaks it.",
    "eval": "Fly unseen scenes with the model and with what it must beat, and print the table.",
    "eval-recording": "Have a model decide over a recording, and compare with what was flown where the recording says.",
    "train-pilot": "Train the pilot by imitating an expert in airfield, from scratch or from an earlier pilot.",
    "lab": "Experiments on the engine's memory, ablations, and benchmarks.",
    "memory": "Look at the memory bank, and carry it out and in.",
}
"""The first sentences of their docstrings, by name and in the order of the help."""

_MODULES = {"eval": "evaluate"}
"""Module, and function or application in it, where they are not called like the command."""


class Group(TyperGroup):
    """A group whose help has the whole first paragraph of each command's own."""

    def summary(self, ctx: Any, name: str) -> str:
        """What the command of this name does."""
        command = self.get_command(ctx, name)
        return (command.help or "").split("\n\n")[0] if command else ""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.summary(ctx, name)) for name in self.list_commands(ctx)])


class LazyGroup(Group):
    """The commands of `COMMANDS`, each imported when it is first taken."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        not_imported: Any = None
        self.commands.update(dict.fromkeys(COMMANDS, not_imported))  # typer suggests from these names

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run a command line; what its output's encoding cannot hold is written as an escape."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        return super().main(*args, **extra)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take the arguments; what no system could have handed over is refused, but a stop never for its words."""
        if args[:1] != ["stop"] and not all(map(_is_argument, args)):
            ctx.fail("An argument holds a NUL character or half of a surrogate pair.")
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run a command; whatever it raises is told in one line, and a missing package with what installs it."""
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError:
            from stillwing_cli.terminal import told_errors
            from stillwing_common.extras import needs_extra

            with told_errors(), needs_extra("fly", f"stillwing {ctx.invoked_subcommand}"):
                raise
        except Exception as error:
            if isinstance(error, typer.Abort) or hasattr(error, "exit_code"):
                raise  # the command line's own ways to end
            from stillwing_cli.terminal import told

            ending = told(error)
            if ending is error:
                raise
            raise ending from error

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command, or None where there is none of this name."""
        if cmd_name in COMMANDS and self.commands[cmd_name] is None:
            self.commands[cmd_name] = _load(cmd_name)
        return self.commands.get(cmd_name)

    def summary(self, ctx: Any, name: str) -> str:
        """What the command of this name does, without importing it."""
        return COMMANDS[name]


def application(summary: str, cls: type[TyperGroup] = Group) -> typer.Typer:
    """A group of commands. Its help is plain text, as rich takes longer to import than everything else there."""
    return typer.Typer(
        cls=cls,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_show_locals=False,
        rich_markup_mode=None,
        help=summary,
    )


def _is_argument(word: str) -> bool:
    try:
        return "\0" not in word and bool(os.fsencode(word) or not word)
    except UnicodeEncodeError:
        return False


def _load(name: str) -> Any:
    place = _MODULES.get(name, name.replace("-", "_"))
    target = getattr(import_module(f"stillwing_cli.{place}"), place)
    if not isinstance(target, typer.Typer):
        function, target = target, application("")
        target.command(name)(function)
    return typer.main.get_command(target)


app = application("Fly a drone with a vision-language model, and hold it still while it thinks.", LazyGroup)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # takes longer to import than the help to print

        print(f"stillwing {version('stillwing')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Take what stands before the name of a command."""
