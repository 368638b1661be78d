"""`stillwing check-agent`: whether the agent at HOST:PORT keeps what the agent's proto promises, check by check."""

from contextlib import aclosing
from typing import Annotated

import typer

from stillwing.agent.v1 import agent_pb2_grpc
from stillwing_cli.agent_checks import AgentChecks
from stillwing_cli.agent_ground import agent_ground
from stillwing_cli.check_page import Check, Level, show
from stillwing_cli.plan import AGENT, AIRFIELD, BRIDGE, ENGINE, SERVICES
from stillwing_cli.terminal import AsJson, Prefixed, err, finite, next_step, out, print_json, run
from stillwing_common.signals import end_on_signals
from stillwing_rpc.channel import connect
from stillwing_rpc.logs import configure_logs


def check_agent(
    address: Annotated[str, typer.Argument(help="HOST:PORT at which the agent serves, or will.")],
    wait_s: Annotated[
        float, typer.Option("--wait", min=1, callback=finite, help="Seconds to wait until it serves.")
    ] = 60,
    ports: Annotated[
        str, typer.Option(help="Of bridge and engine: default (50061 and 50063), or auto for any free ones.")
    ] = "default",
    as_json: AsJson = False,
) -> None:
    """Put any agent through its contract, in a simulator of its own, and print a page. Exit code 1 if it breaks it.

    It starts airfield, the bridge and the engine with the pilot, says where they are, and waits for the agent, which is
    to be started with these two addresses. Then it flies a few short missions with it, about half a minute.
    """
    configure_logs("warning")
    checks = run(_checked(address, wait_s, ports, shown=not as_json))
    failed = [check for check in checks if check.level is Level.FAILED]
    if as_json:
        print_json({"address": address, "ok": not failed, "checks": [check.as_json() for check in checks]})
    console = err if as_json else out
    if failed:
        next_step(console, f"stillwing check-agent {address}", f"again, when this is done: {failed[0].fix}")
        raise typer.Exit(1)
    next_step(console, "stillwing fly --attach", "fly with it: start it beside bridge, memory and engine")


async def _checked(address: str, wait_s: float, ports: str, *, shown: bool) -> list[Check]:
    console = out if shown else err
    seen: list[Check] = []
    with end_on_signals():
        async with agent_ground(ports, Prefixed(console, (AIRFIELD, BRIDGE, ENGINE))) as ground:
            console.print(f"Start the agent with bridge {ground.bridge_address} and engine {ground.engine_address}.")
            channel = await connect(address, SERVICES[AGENT], wait_s=wait_s)
            try:
                checks = AgentChecks(agent_pb2_grpc.AgentServiceStub(channel), ground.flight, ground.asks)
                async with aclosing(checks.run()) as each:
                    async for check in each:
                        seen.append(check)
                        if shown:
                            show(check)
            finally:
                await channel.close()
    return seen
