"""A mission for a smolagents agent of the user's own: its model and its tools, from any thread, as smolagents means it.

    with smolagents_flight("Fly to the red beacon.") as flight:
        agent = ToolCallingAgent(tools=flight.tools, model=flight.model)
        print(agent.run(flight.goal))

The mission runs on an event loop in a thread beside it: it holds the lease, takes off, streams frames into the engine,
holds the vehicle while the model is asked, and ends as every mission does. A composition root like `__main__`.
"""

import asyncio
import concurrent.futures
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

from smolagents import Tool

from stillwing_agent.core.agent import AgentConfig, MissionAgent
from stillwing_agent.core.agents.smolagents_model import LoopPort, StreamingVLMModel
from stillwing_agent.core.agents.tool_calling import bridged_tools
from stillwing_agent.core.json_schema import Properties
from stillwing_agent.core.mission.assembly import Crew
from stillwing_agent.core.policy import Policy
from stillwing_agent.core.prompting.base import ProfileName
from stillwing_agent.core.tools.execution import Toolbox
from stillwing_agent.core.types import Claim, Mission, MissionRequest
from stillwing_bridge.client import RemoteBridge
from stillwing_common.errors import StillwingError
from stillwing_rpc.channel_settings import ChannelSettings
from stillwing_vlm.client import RemoteEngine


@dataclass(frozen=True, slots=True)
class FlightOrder:
    """What is flown and with whom; `vehicle_id` "" takes the bridge's first vehicle."""

    goal: str
    bridge_address: str = "127.0.0.1:50061"
    engine_address: str = "127.0.0.1:50063"
    vehicle_id: str = ""
    time_limit_s: float = 600.0
    channel: ChannelSettings | None = None
    config: AgentConfig | None = None


class SmolagentsFlight:
    """One mission, for an agent made by its user."""

    def __init__(self, order: FlightOrder) -> None:
        self._order = order
        self._handed: concurrent.futures.Future[tuple[Toolbox, LoopPort]] = concurrent.futures.Future()
        self._ended: concurrent.futures.Future[Mission] = concurrent.futures.Future()
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._run, name="smolagents-flight", daemon=True)

    @property
    def goal(self) -> str:
        """What `agent.run` is to be given."""
        return self._order.goal

    @property
    def model(self) -> StreamingVLMModel:
        """Asks the engine, the vehicle held all the while; what the framework composed is not sent."""
        toolbox, port = self._handed.result()
        return StreamingVLMModel(toolbox, port, None)

    @property
    def tools(self) -> list[Tool]:
        """The mission's tools, its final answer among them."""
        return bridged_tools(*self._handed.result())

    @property
    def mission(self) -> Mission:
        """As it ended; waits for it."""
        return self._ended.result()

    def begin(self) -> None:
        """Return once it is in the air and its frames come. Raises what ended it before."""
        self._thread.start()
        either: list[concurrent.futures.Future[Any]] = [self._handed, self._ended]
        concurrent.futures.wait(either, return_when=concurrent.futures.FIRST_COMPLETED)
        if not self._handed.done():
            raise self._failure() or RuntimeError("the mission ended before it began")

    def end(self) -> None:
        """Hold, return the lease, wait for the end. Raises what the mission failed with."""
        self._released.set()
        self._thread.join()
        failure = self._failure()
        if failure is not None:
            raise failure

    def _failure(self) -> BaseException | None:
        error = self._ended.exception()
        return error if error is not None else self._ended.result().error

    def _run(self) -> None:
        try:
            self._ended.set_result(asyncio.run(self._fly()))
        except BaseException as error:
            self._ended.set_exception(error)

    async def _fly(self) -> Mission:
        order = self._order
        async with AsyncExitStack() as stack:
            bridge = await RemoteBridge.connect(order.bridge_address, order.channel)
            stack.push_async_callback(bridge.close)
            engine = await RemoteEngine.connect(order.engine_address, order.channel)
            stack.push_async_callback(engine.close)
            vehicle_id = order.vehicle_id or (await bridge.list_vehicles())[0].vehicle_id
            crew = Crew(bridge, engine, None, exports=engine)
            agent = MissionAgent(crew, "smolagents", self._policy(), order.config)
            stack.push_async_callback(agent.close)
            request = MissionRequest(str(uuid.uuid4()), order.goal, vehicle_id, order.time_limit_s)
            mission = await agent.start_mission(request)
            async for _ in agent.watch_mission(mission.mission_id):
                pass
            return await agent.get_mission(mission.mission_id)

    def _policy(self) -> type[Policy]:
        """Hands the mission's toolbox over, and waits until it is given back."""
        handed, released = self._handed, self._released

        class HandedOver:
            properties: ClassVar[Properties] = {}
            prompt_profile: ProfileName | None = None

            def __init__(self, params: Mapping[str, Any]) -> None:
                """It takes no params."""

            async def fly(self, toolbox: Toolbox) -> Claim:
                port = LoopPort(asyncio.get_running_loop())
                handed.set_result((toolbox, port))
                flight = toolbox.cockpit.flight
                try:
                    # The user's own code may take its time: the vehicle holds, and frames are signs of life.
                    with flight.life.waiting():
                        while not released.is_set():  # noqa: ASYNC110  # set by another thread
                            await asyncio.sleep(flight.settings.wait_step_s / 10)
                finally:
                    port.close()
                if isinstance(port.failure, StillwingError):
                    raise port.failure
                return toolbox.claim or Claim("The agent ended without a final answer.", achieved=False)

        return HandedOver


@contextmanager
def smolagents_flight(goal: str, **order: Any) -> Iterator[SmolagentsFlight]:
    """A mission that is in the air when the block begins, and has ended when it is left; see `FlightOrder`.

    Raises what the mission failed with, in the place of what smolagents made of it.
    """
    flight = SmolagentsFlight(FlightOrder(goal, **order))
    flight.begin()
    try:
        yield flight
    except BaseException as error:
        try:
            flight.end()
        except StillwingError as failure:
            raise failure from error
        raise
    flight.end()
