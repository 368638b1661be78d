"""`stillwing up`: the whole stack in the foreground, until Ctrl-C or until a part is gone for good."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from stillwing_cli.errors import AlreadyUp
from stillwing_cli.plan import AGENT, AIRFIELD, BRIDGE, ENGINE, MEMORY, Choices
from stillwing_cli.stack import running_stack
from stillwing_cli.state import StackState, read_state
from stillwing_cli.terminal import AsJson, Prefixed, err, next_step, out, print_json, run
from stillwing_common.signals import end_on_signals

Scene = Annotated[str, typer.Option(help="Which kind of scene airfield shows.")]
Seed = Annotated[int, typer.Option(min=0, help="The scene is drawn from this number.")]
Model = Annotated[str, typer.Option(help="Directory of a model, or its name at --endpoint; empty takes the pilot.")]
Endpoint = Annotated[
    str,
    typer.Option(help="Url of an OpenAI-compatible model, up to /chat/completions; its key: STILLWING_ENDPOINT_KEY."),
]
AgentName = Annotated[str, typer.Option("--agent", help="tool_calling or choice.")]
Profile = Annotated[str, typer.Option(help="Where the engine runs: auto, cpu or gpu.")]
Simulator = Annotated[str, typer.Option(help="HOST:PORT of a running AirSim, flown instead of airfield.")]
Certs = Annotated[
    str, typer.Option(envvar="STILLWING_CERTS", help="Folder of `stillwing certs`: TLS, client certificates, token.")
]
LogLevel = Annotated[str, typer.Option(help="Least level that is logged: debug, info, warning, error.")]


def up(
    scene: Scene = "meadow",
    seed: Seed = 3,
    model: Model = "",
    endpoint: Endpoint = "",
    agent: AgentName = "tool_calling",
    profile: Profile = "auto",
    simulator: Simulator = "",
    ports: Annotated[str, typer.Option(help="default, or auto for any free ones.")] = "default",
    log_level: LogLevel = "info",
    certs: Certs = "",
    as_json: AsJson = False,
) -> None:
    """Start simulator, bridge, memory, engine and agent, and keep them up until Ctrl-C."""

    def choose() -> Choices:
        return Choices(scene, seed, model, agent, profile, simulator, log_level, absolute(certs), endpoint)

    run(_up(choose, ports, as_json))


def absolute(folder: str) -> str:
    """The folder as every process of a stack finds it."""
    return str(Path(folder).resolve()) if folder else ""


async def _up(choose: Callable[[], Choices], ports: str, as_json: bool) -> None:
    console = err if as_json else out
    began_s = time.monotonic()
    say = Prefixed(console, (AIRFIELD, BRIDGE, MEMORY, ENGINE, AGENT))
    with end_on_signals() as watch:
        try:
            async with running_stack(choose(), ports, say) as (state, supervisor):
                _tell_ready(state, time.monotonic() - began_s, as_json)
                raise await supervisor.keep_up()
        except AlreadyUp:
            present = read_state()
            if as_json:
                print_json({"state": "already_up"} | (_as_dict(present) if present else {}))
            console.print("already up" if present else "already up, and not ready yet")
            next_step(console, "stillwing status", "what is running")
    if watch.came:
        console.print("stopped; nothing is left running")
        next_step(console, "stillwing up", "start again")


def _tell_ready(state: StackState, elapsed_s: float, as_json: bool) -> None:
    if as_json:
        print_json({"state": "ready", "elapsed_s": round(elapsed_s, 2)} | _as_dict(state))
    console = err if as_json else out
    console.print(f"\nEverything is up after {elapsed_s:.1f} s. Ctrl-C ends it all.", style="bold green")
    for name in state.ports:
        console.print(f"  {name:<12} {state.address(name)}")
    next_step(console, "stillwing fly", "in another terminal: fly one mission")


def _as_dict(state: StackState) -> dict[str, object]:
    return {
        "pid": state.pid,
        "addresses": {name: state.address(name) for name in state.ports},
        "scene": state.choices.scene,
        "seed": state.choices.seed,
        "agent": state.choices.agent,
    }
