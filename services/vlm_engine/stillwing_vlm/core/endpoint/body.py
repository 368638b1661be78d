"""A question with its pictures as the body of a request for a chat completion, and what came back as an answer.

It knows nothing of connections. Fields are those of OpenAI's API reference, "Create chat completion", that servers of
open models (vLLM, SGLang, llama.cpp, Ollama) take, too.
"""

import base64
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError

from stillwing_common.errors import (
    AnswerUnreadable,
    BadGrammar,
    EndpointUnreadable,
    InvalidInput,
    Unsupported,
)
from stillwing_vlm.core.conversation import (
    AssistantTurn,
    Briefing,
    JsonFormat,
    Tool,
    ToolCall,
    ToolCallFormat,
    ToolTurn,
    Turn,
    UserTurn,
    json_object,
)
from stillwing_vlm.core.requests import AskRequest, ChoiceRequest, ModelSampling, Sampling
from stillwing_vlm.core.results import DoneReason

Json = dict[str, Any]

_TOP_LOGPROBS = 20
_CHARS_A_TOKEN = 8
"""A thought of so many tokens is hardly longer; an endpoint cannot be held to tokens."""


@dataclass(frozen=True, slots=True)
class Shown:
    """JPEG files that go along: of the first frames, of what was recalled, and of the newest, oldest first."""

    first: Sequence[bytes] = ()
    recalled: Sequence[bytes] = ()
    newest: Sequence[bytes] = ()


@dataclass(frozen=True, slots=True)
class Said:
    """What an answer came to, as `AnswerDone` has it."""

    text: str
    reason: DoneReason
    thought: str = ""
    json: str = ""
    tool_call: ToolCall | None = None
    prompt_tokens: int = 0
    answer_tokens: int = 0


def ask_body(request: AskRequest, briefing: Briefing, shown: Shown, max_tokens: int) -> Json:
    """The body of an ask. Raises BadGrammar, InvalidInput."""
    turns = request.messages or (UserTurn(request.prompt),)
    form = request.answer_format
    thought_tokens = 0 if form is None else form.max_thought_tokens
    body: Json = {
        "messages": _messages(briefing.system_prompt, shown, turns),
        "max_tokens": max_tokens + thought_tokens,
        **_sampling(request.sampling),
    }
    schema = form.json_schema if isinstance(form, JsonFormat) else request.json_schema
    if schema:
        wanted = {"name": "answer", "schema": _schema(schema), "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": wanted}
    if briefing.tools:
        offered = [tool for tool in briefing.tools if _is_offered(tool, form)]
        if isinstance(form, ToolCallFormat) and not offered:
            raise InvalidInput("none of the session's tools has one of these names", field="answer_format")
        body["tools"] = [_tool(tool) for tool in offered]
        body["tool_choice"] = "required" if isinstance(form, ToolCallFormat) else "none"
        if isinstance(form, ToolCallFormat):
            body["parallel_tool_calls"] = False
    elif isinstance(form, ToolCallFormat):
        raise InvalidInput("the session has no tools to call", field="answer_format")
    return body


def choice_body(request: ChoiceRequest, briefing: Briefing, shown: Shown) -> Json:
    """The body of a choice: one token, with the probabilities of those that might stand in its place."""
    words = f"{request.prompt}\nAnswer with one of these words and nothing else: {', '.join(request.options)}"
    return {
        "messages": _messages(briefing.system_prompt, shown, (UserTurn(words),)),
        "max_tokens": 1,
        "temperature": 0,
        "logprobs": True,
        "top_logprobs": _TOP_LOGPROBS,
    }


def read_answer(answer: Mapping[str, Any], request: AskRequest) -> Said:
    """Raises EndpointUnreadable for what is no chat completion, AnswerUnreadable for JSON that is not as asked for."""
    choice = _choice(answer)
    message = choice.get("message")
    if not isinstance(message, dict):
        raise EndpointUnreadable("its choice has no message")
    text = message.get("content") or message.get("refusal") or ""
    if not isinstance(text, str):
        raise EndpointUnreadable("its message is no text")
    reason = DoneReason.LENGTH if choice.get("finish_reason") == "length" else DoneReason.STOP
    prompt_tokens, answer_tokens = (_count(answer, name) for name in ("prompt_tokens", "completion_tokens"))
    form = request.answer_format
    if isinstance(form, ToolCallFormat):
        call, said = _call(message)
        thought = text.strip()[: form.max_thought_tokens * _CHARS_A_TOKEN] if call is not None else ""
        whole = "\n".join(part for part in (text.strip(), said) if part)
        return Said(whole, reason, thought, "", call, prompt_tokens, answer_tokens)
    schema = form.json_schema if isinstance(form, JsonFormat) else request.json_schema
    if schema and reason is DoneReason.STOP:
        _check(text, schema)
    json_text = text if isinstance(form, JsonFormat) and reason is DoneReason.STOP else ""
    return Said(text, reason, "", json_text, None, prompt_tokens, answer_tokens)


def read_probabilities(answer: Mapping[str, Any], options: Sequence[str]) -> tuple[float, ...]:
    """Of each option, by the tokens that could have been the answer's first; they sum to 1.

    Raises EndpointUnreadable, and Unsupported where the endpoint tells no probabilities, or of no option.
    """
    try:
        tokens = _choice(answer)["logprobs"]["content"][0]["top_logprobs"]
        weights = [(str(token["token"]), math.exp(min(0.0, float(token["logprob"])))) for token in tokens]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise Unsupported("the endpoint tells no probabilities of tokens, so nothing can be scored") from error
    scores = [0.0] * len(options)
    for token, weight in weights:
        beginning = token.strip().lower()
        fitting = [place for place, option in enumerate(options) if option.lower().startswith(beginning)]
        if beginning and len(fitting) == 1:
            scores[fitting[0]] += weight
    if not sum(scores) > 0:
        raise Unsupported("the endpoint would have answered with none of the options", options=", ".join(options))
    return tuple(score / sum(scores) for score in scores)


def _messages(system: str, shown: Shown, turns: Sequence[Turn]) -> list[Json]:
    first, *rest = turns
    messages: list[Json] = [{"role": "system", "content": system}]
    messages.append({"role": "user", "content": [*_pictures(shown), {"type": "text", "text": _text(first)}]})
    called: list[str] = []
    calls = 0
    for turn in rest:
        match turn:
            case UserTurn(text):
                messages.append({"role": "user", "content": text})
            case AssistantTurn(text, tool_calls):
                called = [f"call_{calls + place}" for place in range(len(tool_calls))]
                calls += len(tool_calls)
                messages.append(_assistant(text, tool_calls, called))
            case ToolTurn(text):
                call_id = called.pop(0) if called else f"call_{calls}"
                messages.append({"role": "tool", "tool_call_id": call_id, "content": text})
    return messages


def _text(turn: Turn) -> str:
    return turn.text if isinstance(turn, UserTurn) else ""


def _assistant(text: str, calls: Sequence[ToolCall], ids: Sequence[str]) -> Json:
    message: Json = {"role": "assistant", "content": text}
    if calls:
        message["tool_calls"] = [
            {"id": call_id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call_id, call in zip(ids, calls, strict=True)
        ]
    return message


def _pictures(shown: Shown) -> list[Json]:
    parts: list[Json] = []
    for words, pictures in (
        ("The first pictures:", shown.first),
        ("Pictures from earlier, recalled:", shown.recalled),
        ("The newest pictures, the last one is now:", shown.newest),
    ):
        if pictures:
            parts.append({"type": "text", "text": words})
            parts += [{"type": "image_url", "image_url": {"url": _data_url(picture)}} for picture in pictures]
    return parts


def _data_url(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()


def _tool(tool: Tool) -> Json:
    return {
        "type": "function",
        "function": {"name": tool.name, "description": tool.description, "parameters": tool.schema()},
    }


def _is_offered(tool: Tool, form: object) -> bool:
    return not isinstance(form, ToolCallFormat) or not form.names or tool.name in form.names


def _sampling(sampling: Sampling | ModelSampling | None) -> Json:
    if sampling is None:
        return {"temperature": 0}
    if isinstance(sampling, ModelSampling):
        return {"seed": sampling.seed}
    return {"temperature": sampling.temperature, "top_p": sampling.top_p, "seed": sampling.seed}


def _schema(text: str) -> Json:
    try:
        schema = json_object("json_schema", text)
        Draft202012Validator.check_schema(schema)
    except (InvalidInput, SchemaError) as error:
        raise BadGrammar("the JSON Schema is none", field="json_schema") from error
    return schema


def _check(text: str, schema: str) -> None:
    try:
        value = json.loads(text)
        Draft202012Validator(_schema(schema)).validate(value)
    except (ValueError, RecursionError) as error:
        raise AnswerUnreadable("it is not the JSON that was asked for", answer=text[:80]) from error
    except ValidationError as error:
        raise AnswerUnreadable(f"its JSON does not fit the schema: {error.message[:200]}", answer=text[:80]) from error


def _choice(answer: Mapping[str, Any]) -> Json:
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise EndpointUnreadable("it has no choices")
    first: Json = choices[0]
    return first


def _count(answer: Mapping[str, Any], name: str) -> int:
    usage = answer.get("usage")
    count = usage.get(name) if isinstance(usage, dict) else None
    return count if isinstance(count, int) and 0 <= count < 2**32 else 0


def _call(message: Mapping[str, Any]) -> tuple[ToolCall | None, str]:
    """The first call and its text; None where there is none that is whole."""
    calls = message.get("tool_calls")
    first = calls[0] if isinstance(calls, list) and calls else None
    function = first.get("function") if isinstance(first, dict) else None
    if not isinstance(function, dict):
        return None, ""
    name, arguments = function.get("name"), function.get("arguments")
    if isinstance(arguments, dict):
        arguments = json.dumps(arguments, ensure_ascii=False)
    said = f"{name} {arguments}"
    try:
        return ToolCall(str(name), str(arguments or "{}")), said
    except InvalidInput:
        return None, said
