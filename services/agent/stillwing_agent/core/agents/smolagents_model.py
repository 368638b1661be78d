"""smolagents' view of the engine: a model whose `generate` asks one question over the video memory.

The system prompt and the tool list live in the cache's sink, and what happened before is told from the mission's own
log. So the messages, stop strings and templates that smolagents composes are not sent: only the question is. It knows
nothing of vehicles. `generate` runs on the agent's worker thread; everything else happens on the event loop, through
the `LoopPort`.
"""

import asyncio
import concurrent.futures
import json
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from smolagents.models import (
    ChatMessage,
    ChatMessageToolCall,
    ChatMessageToolCallFunction,
    MessageRole,
    Model,
)
from smolagents.monitoring import TokenUsage

from stillwing_agent.core.tools.cockpit import Thought
from stillwing_agent.core.tools.execution import Toolbox
from stillwing_common.ids import new_id
from stillwing_vlm.core.requests import Sampling

_T = TypeVar("_T")


class Interrupted(Exception):
    """The mission is over; the worker thread is to end."""


class LoopPort:
    """Lets one worker thread run coroutines on the event loop, and the loop break the thread off.

    `failure` is the first thing a coroutine failed with; after it, or after `close`, every call raises Interrupted.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._running: concurrent.futures.Future[Any] | None = None
        self._closed = False
        self.failure: BaseException | None = None

    def call(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Run `coroutine` on the loop and wait for it. Worker thread only. Raises Interrupted instead of its error."""
        with self._lock:
            if self._closed or self.failure is not None:
                coroutine.close()
                raise Interrupted
            self._running = future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except (concurrent.futures.CancelledError, asyncio.CancelledError) as error:
            raise Interrupted from error
        except Exception as error:
            self.failure = error
            raise Interrupted from error

    def close(self) -> None:
        """Break off what runs and refuse what comes. From the loop."""
        with self._lock:
            self._closed = True
            running = self._running
        if running is not None:
            running.cancel()


class StreamingVLMModel(Model):  # type: ignore[misc]  # smolagents ships no types
    """Asks the engine for the next tool call; the grammar of the open tools makes it valid JSON."""

    def __init__(self, toolbox: Toolbox, port: LoopPort, sampling: Sampling | None) -> None:
        super().__init__(model_id="stillwing-session")
        self._toolbox = toolbox
        self._port = port
        self._sampling = sampling

    def generate(
        self,
        messages: list[ChatMessage],
        stop_sequences: list[str] | None = None,
        response_format: dict[str, str] | None = None,
        tools_to_call_from: list[Any] | None = None,
        **kwargs: Any,
    ) -> ChatMessage:
        """One decision. An answer that was cut short has no tool call, which smolagents takes as a step that failed.

        Without tools to call, as where a framework plans or sums up, its last message is asked in words.
        """
        if not tools_to_call_from:
            said = self._port.call(self._toolbox.cockpit.ask(_words(messages[-1])))
            return ChatMessage(role=MessageRole.ASSISTANT, content=said.text, token_usage=TokenUsage(0, 0))
        thought = self._port.call(self._toolbox.decide(self._sampling))
        return ChatMessage(
            role=MessageRole.ASSISTANT,
            content=thought.text,
            tool_calls=_tool_calls(thought),
            token_usage=TokenUsage(input_tokens=0, output_tokens=0),
        )


def _words(message: ChatMessage) -> str:
    if isinstance(message.content, str):
        return message.content
    return "\n".join(str(part["text"]) for part in message.content or () if part.get("type") == "text")


def _tool_calls(thought: Thought) -> list[ChatMessageToolCall] | None:
    """The call of an answer in a model's own form, else the JSON that an answer is; None where it is not whole."""
    if thought.call is not None:
        name, arguments = thought.call.name, thought.call.values()
    elif thought.whole and thought.text.startswith("{"):
        call = json.loads(thought.text)
        name, arguments = call["name"], call["arguments"]
    else:
        return None
    function = ChatMessageToolCallFunction(name=name, arguments=arguments)
    return [ChatMessageToolCall(function=function, id=new_id("act"), type="function")]
