"""smolagents' ToolCallingAgent as a policy: each step one tool call decided over the video memory, then carried out.

The agent runs in a worker thread of its own; its model and its tools reach the mission through a `LoopPort`. Its memory
is cut to a few steps, because the memory that matters is in the engine. It knows nothing of gRPC, models or vehicles.
"""

import asyncio
import concurrent.futures
from collections.abc import Mapping
from typing import Any, ClassVar

from smolagents import LogLevel, Tool, ToolCallingAgent
from smolagents.agents import EMPTY_PROMPT_TEMPLATES
from smolagents.memory import ActionStep, TaskStep
from smolagents.models import ChatMessage
from smolagents.utils import AgentError, AgentToolExecutionError

from stillwing_agent.core.agents.smolagents_model import Interrupted, LoopPort, StreamingVLMModel
from stillwing_agent.core.json_schema import Properties
from stillwing_agent.core.prompting.base import ProfileName
from stillwing_agent.core.prompting.prompts import ToolSpec
from stillwing_agent.core.tools.execution import Toolbox, ToolResult
from stillwing_agent.core.types import Claim
from stillwing_common.errors import DecisionsUsedUp, StillwingError
from stillwing_vlm.core.requests import Sampling

_KEPT_STEPS = 4


class ToolCallingPolicy:
    """Flies with `ToolCallingAgent`. Params: `temperature` 0 is greedy; above it, `seed` makes sampling repeatable."""

    port: ClassVar[type[LoopPort]] = LoopPort
    """How the worker thread reaches the loop; a loop with a time of its own brings its own."""
    properties: ClassVar[Properties] = {
        "temperature": {
            "type": "number",
            "minimum": 0,
            "maximum": 2,
            "default": 0,
            "description": "0 decides greedily; above, randomly.",
        },
        "seed": {
            "type": "integer",
            "minimum": 0,
            "maximum": 2**31 - 1,
            "default": 0,
            "description": "Seed of random decisions.",
        },
        "prompt_profile": {
            "enum": [name.value for name in ProfileName],
            "description": "How the model is spoken to; left out: as the agent's settings say.",
        },
    }

    def __init__(self, params: Mapping[str, Any]) -> None:
        wanted = params.get("prompt_profile")
        self.prompt_profile: ProfileName | None = ProfileName(wanted) if wanted else None
        temperature = float(params["temperature"])
        self._sampling = Sampling(temperature, seed=params["seed"]) if temperature > 0 else None

    async def fly(self, toolbox: Toolbox) -> Claim:
        """Until the model gives its final answer. Raises DecisionsUsedUp, and what ends a mission."""
        loop = asyncio.get_running_loop()
        port = self.port(loop)
        agent = _agent(toolbox, port, self._sampling)
        executor = concurrent.futures.ThreadPoolExecutor(max_workers=1, thread_name_prefix="tool-calling")
        running = loop.run_in_executor(executor, _run, agent, toolbox)
        try:
            return await asyncio.shield(running)
        except (Interrupted, AgentError) as error:
            if isinstance(port.failure, StillwingError):
                raise port.failure from error
            raise (port.failure or error) from None
        finally:
            agent.interrupt()
            port.close()
            await asyncio.wait({running})
            if not running.cancelled():
                running.exception()  # read, or what the thread says on being told to stop is logged as a fault
            executor.shutdown(wait=False)


def _run(agent: ToolCallingAgent, toolbox: Toolbox) -> Claim:
    agent.run(toolbox.goal)
    assert toolbox.claim is not None
    return toolbox.claim


def bridged_tools(toolbox: Toolbox, port: LoopPort) -> list[Tool]:
    """The mission's tools as smolagents', its final answer among them; called on any one thread but the loop's."""
    return [_BridgedTool(spec, toolbox, port) for spec in toolbox.tools]


def _agent(toolbox: Toolbox, port: LoopPort, sampling: Sampling | None) -> ToolCallingAgent:
    return _BoundedAgent(
        tools=bridged_tools(toolbox, port),
        model=StreamingVLMModel(toolbox, port, sampling),
        prompt_templates=EMPTY_PROMPT_TEMPLATES,
        # One more than the cockpit allows, so that the cockpit's refusal to ask is what ends the mission.
        max_steps=toolbox.cockpit.decisions_left + 1,
        verbosity_level=LogLevel.OFF,
        step_callbacks={ActionStep: _forget_old_steps},
    )


class _BoundedAgent(ToolCallingAgent):  # type: ignore[misc]  # smolagents ships no types
    def provide_final_answer(self, task: str) -> ChatMessage:
        raise DecisionsUsedUp

    def execute_tool_call(self, tool_name: str, arguments: dict[str, Any] | str) -> Any:
        """The toolbox checks its calls itself, so that each is logged, whatever is wrong with it."""
        tool = self.tools.get(tool_name)
        if isinstance(tool, _BridgedTool) and isinstance(arguments, dict):
            result = tool.call(arguments)
            if tool_name == "final_answer" and result.error is not None:
                raise AgentToolExecutionError(result.text, self.logger)
            # Text, because of any other value smolagents finds out what it is by importing torch.
            return result.text
        return super().execute_tool_call(tool_name, arguments)


class _BridgedTool(Tool):  # type: ignore[misc]  # smolagents ships no types
    # The arguments are those of the ToolSpec, not of a Python signature.
    skip_forward_signature_validation = True

    def __init__(self, spec: ToolSpec, toolbox: Toolbox, port: LoopPort) -> None:
        self.name = spec.name
        self.description = spec.purpose
        self.inputs = {
            name: _smol_input(name, schema, optional=name in spec.optional) for name, schema in spec.arguments.items()
        }
        self.output_type = "string"
        self._toolbox = toolbox
        self._port = port
        super().__init__()

    def call(self, arguments: Mapping[str, Any]) -> ToolResult:
        return self._port.call(self._toolbox.run(self.name, arguments))

    def forward(self, **arguments: Any) -> str:
        result = self.call(arguments)
        if self.name == "final_answer" and result.error is not None:
            raise result.error  # smolagents would take whatever comes back for the end
        return result.text


def _smol_input(name: str, schema: Mapping[str, Any], *, optional: bool) -> dict[str, Any]:
    described = {"type": schema.get("type", "string"), "description": schema.get("description", name)}
    return described | ({"nullable": True} if optional else {})


def _forget_old_steps(step: ActionStep, agent: ToolCallingAgent) -> None:
    # Each step keeps the messages it was asked with; without this they grow with the square of the steps.
    step.model_input_messages = None
    steps = agent.memory.steps
    task = [kept for kept in steps if isinstance(kept, TaskStep)][:1]
    agent.memory.steps = task + [kept for kept in steps if not isinstance(kept, TaskStep)][-_KEPT_STEPS:]
    agent.monitor.step_durations = agent.monitor.step_durations[-_KEPT_STEPS:]
