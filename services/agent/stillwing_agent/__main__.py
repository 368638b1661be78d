"""`stillwing-agent`: fly missions. The composition root: reaches the three services, then serves; no logic here."""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated

import structlog
import typer

from stillwing_common.extras import command_needs
from stillwing_rpc.command import read_settings, run_service
from stillwing_rpc.logs import configure_logs
from stillwing_rpc.server import RpcServer

with command_needs("agent", "stillwing-agent"):
    from stillwing_agent.core.agent import MissionAgent
    from stillwing_agent.core.agents.own_tools import load_own_tools
    from stillwing_agent.core.mission.assembly import Crew
    from stillwing_agent.core.policy import POLICIES
    from stillwing_agent.server import registration
    from stillwing_agent.settings import AgentSettings
    from stillwing_bridge.client import RemoteBridge
    from stillwing_memory.client import RemoteMemoryBank
    from stillwing_vlm.client import RemoteEngine

app = typer.Typer(add_completion=False, help="Stillwing's agent: flies missions with a model that sees all the time.")
_log = structlog.get_logger("stillwing.agent")


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes any free one.")] = None,
    agent: Annotated[str | None, typer.Option(help="Which implementation flies: tool_calling, choice, …")] = None,
    bridge: Annotated[str | None, typer.Option(help="sim_bridge, host:port.")] = None,
    memory: Annotated[str | None, typer.Option(help="memory_bank, host:port; empty flies without one.")] = None,
    engine: Annotated[str | None, typer.Option(help="vlm_engine, host:port.")] = None,
    run_folder: Annotated[Path | None, typer.Option(help="Where missions' events are written.")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
) -> None:
    """Serve until interrupted. What no flag says is read from STILLWING_AGENT_…"""
    settings = read_settings(
        AgentSettings, host=host, port=port, agent=agent, bridge_address=bridge, memory_address=memory,
        engine_address=engine, run_folder=run_folder, log_level=log_level,
    )  # fmt: skip
    configure_logs(settings.log_level, settings.log_format)
    run_service("stillwing-agent", _serve(settings))


async def _serve(settings: AgentSettings) -> None:
    policy = POLICIES.load(settings.agent)
    own_tools = load_own_tools(settings.tool_names())
    channel = settings.channel()
    wait_s = settings.connect_wait_s
    async with AsyncExitStack() as stack:
        _waiting("sim_bridge", settings.bridge_address)
        bridge = await RemoteBridge.connect(settings.bridge_address, channel, wait_s=wait_s)
        stack.push_async_callback(bridge.close)
        _waiting("vlm_engine", settings.engine_address)
        engine = await RemoteEngine.connect(settings.engine_address, channel, wait_s=wait_s)
        stack.push_async_callback(engine.close)
        memory = None
        if settings.memory_address:
            _waiting("memory_bank", settings.memory_address)
            memory = await RemoteMemoryBank.connect(settings.memory_address, channel, wait_s=wait_s)
            stack.push_async_callback(memory.close)
        crew = Crew(bridge, engine, memory, exports=engine, own_tools=own_tools)
        agent = MissionAgent(crew, settings.agent, policy, settings.core())
        server = RpcServer([registration(agent)], settings, on_drain=agent.close)
        stack.push_async_callback(server.drain)
        await server.start()
        _log.info("agent.ready", implementation=settings.agent, memory_bank=memory is not None)
        await server.set_serving()
        await server.run()


def _waiting(name: str, address: str) -> None:
    _log.info("agent.waiting", service=name, address=address)


def main() -> None:
    """The console script."""
    app()


if __name__ == "__main__":
    main()
