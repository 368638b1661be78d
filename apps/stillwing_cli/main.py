"""The `stillwing` command: one file for each subcommand, put together here and nowhere else."""

import typer

from stillwing_cli.certs import certs
from stillwing_cli.doctor import doctor
from stillwing_cli.eval_recording import eval_recording
from stillwing_cli.evaluate import evaluate
from stillwing_cli.fly import fly
from stillwing_cli.instruct import instruct
from stillwing_cli.lab import lab
from stillwing_cli.memory import memory
from stillwing_cli.record import record
from stillwing_cli.replay import replay
from stillwing_cli.status import status
from stillwing_cli.stop import stop
from stillwing_cli.train_pilot import train_pilot
from stillwing_cli.up import up
from stillwing_cli.watch import watch

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    help="Fly a drone with a vision-language model, and hold it still while it thinks.",
)
for command in (up, fly, instruct, status, watch, stop, record, replay, certs, doctor):
    app.command()(command)
app.command(name="eval")(evaluate)
app.command(name="eval-recording")(eval_recording)
app.command(name="train-pilot")(train_pilot)
app.add_typer(lab, name="lab")
app.add_typer(memory, name="memory")


def main() -> None:
    """Entry point of `python -m stillwing_cli`."""
    app()


if __name__ == "__main__":
    main()
