"""The `stillwing` command.

An emergency stop goes its own short way: who stops waits for no import that stopping does not need. All else is an
application of typer, with the commands of the table in `commands`.
"""

import sys
from typing import Any


def main() -> None:
    """Run what the command line says."""
    if sys.argv[1:2] == ["stop"]:
        from stillwing_cli.stopping import run_stop

        raise SystemExit(run_stop(sys.argv[2:]))
    from stillwing_cli.commands import app

    app()


def __getattr__(name: str) -> Any:
    """`app`, the application, which is made when somebody asks for it."""
    if name != "app":
        raise AttributeError(name)
    from stillwing_cli.commands import app

    return app


if __name__ == "__main__":
    main()
