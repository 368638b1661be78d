from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Tool(_message.Message):
    __slots__ = ("name", "description", "parameters_json_schema")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_JSON_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    parameters_json_schema: str
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., parameters_json_schema: _Optional[str] = ...) -> None: ...

class ToolCall(_message.Message):
    __slots__ = ("name", "arguments_json")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_JSON_FIELD_NUMBER: _ClassVar[int]
    name: str
    arguments_json: str
    def __init__(self, name: _Optional[str] = ..., arguments_json: _Optional[str] = ...) -> None: ...

class Message(_message.Message):
    __slots__ = ("user", "assistant", "tool")
    USER_FIELD_NUMBER: _ClassVar[int]
    ASSISTANT_FIELD_NUMBER: _ClassVar[int]
    TOOL_FIELD_NUMBER: _ClassVar[int]
    user: UserTurn
    assistant: AssistantTurn
    tool: ToolTurn
    def __init__(self, user: _Optional[_Union[UserTurn, _Mapping]] = ..., assistant: _Optional[_Union[AssistantTurn, _Mapping]] = ..., tool: _Optional[_Union[ToolTurn, _Mapping]] = ...) -> None: ...

class UserTurn(_message.Message):
    __slots__ = ("text",)
    TEXT_FIELD_NUMBER: _ClassVar[int]
    text: str
    def __init__(self, text: _Optional[str] = ...) -> None: ...

class AssistantTurn(_message.Message):
    __slots__ = ("text", "tool_calls")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALLS_FIELD_NUMBER: _ClassVar[int]
    text: str
    tool_calls: _containers.RepeatedCompositeFieldContainer[ToolCall]
    def __init__(self, text: _Optional[str] = ..., tool_calls: _Optional[_Iterable[_Union[ToolCall, _Mapping]]] = ...) -> None: ...

class ToolTurn(_message.Message):
    __slots__ = ("text", "name")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    text: str
    name: str
    def __init__(self, text: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class AnswerFormat(_message.Message):
    __slots__ = ("json", "tool_call", "max_thought_tokens")
    JSON_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_FIELD_NUMBER: _ClassVar[int]
    MAX_THOUGHT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    json: JsonFormat
    tool_call: ToolCallFormat
    max_thought_tokens: int
    def __init__(self, json: _Optional[_Union[JsonFormat, _Mapping]] = ..., tool_call: _Optional[_Union[ToolCallFormat, _Mapping]] = ..., max_thought_tokens: _Optional[int] = ...) -> None: ...

class JsonFormat(_message.Message):
    __slots__ = ("json_schema", "style")
    class Style(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STYLE_UNSPECIFIED: _ClassVar[JsonFormat.Style]
        STYLE_COMPACT: _ClassVar[JsonFormat.Style]
        STYLE_MODEL: _ClassVar[JsonFormat.Style]
    STYLE_UNSPECIFIED: JsonFormat.Style
    STYLE_COMPACT: JsonFormat.Style
    STYLE_MODEL: JsonFormat.Style
    JSON_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    STYLE_FIELD_NUMBER: _ClassVar[int]
    json_schema: str
    style: JsonFormat.Style
    def __init__(self, json_schema: _Optional[str] = ..., style: _Optional[_Union[JsonFormat.Style, str]] = ...) -> None: ...

class ToolCallFormat(_message.Message):
    __slots__ = ("names",)
    NAMES_FIELD_NUMBER: _ClassVar[int]
    names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, names: _Optional[_Iterable[str]] = ...) -> None: ...

class ChatFormat(_message.Message):
    __slots__ = ("templates", "template", "pictures_template", "tools", "call_opening", "call_closing", "problem", "end_tokens", "sampling", "pointing", "training_range_json")
    class Tools(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        TOOLS_UNSPECIFIED: _ClassVar[ChatFormat.Tools]
        TOOLS_TEMPLATE: _ClassVar[ChatFormat.Tools]
        TOOLS_COMMON: _ClassVar[ChatFormat.Tools]
    TOOLS_UNSPECIFIED: ChatFormat.Tools
    TOOLS_TEMPLATE: ChatFormat.Tools
    TOOLS_COMMON: ChatFormat.Tools
    class Pointing(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        POINTING_UNSPECIFIED: _ClassVar[ChatFormat.Pointing]
        POINTING_RESIZED_PIXELS: _ClassVar[ChatFormat.Pointing]
        POINTING_THOUSANDTHS: _ClassVar[ChatFormat.Pointing]
    POINTING_UNSPECIFIED: ChatFormat.Pointing
    POINTING_RESIZED_PIXELS: ChatFormat.Pointing
    POINTING_THOUSANDTHS: ChatFormat.Pointing
    TEMPLATES_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    PICTURES_TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    CALL_OPENING_FIELD_NUMBER: _ClassVar[int]
    CALL_CLOSING_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    END_TOKENS_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    POINTING_FIELD_NUMBER: _ClassVar[int]
    TRAINING_RANGE_JSON_FIELD_NUMBER: _ClassVar[int]
    templates: _containers.RepeatedScalarFieldContainer[str]
    template: str
    pictures_template: str
    tools: ChatFormat.Tools
    call_opening: str
    call_closing: str
    problem: str
    end_tokens: _containers.RepeatedScalarFieldContainer[str]
    sampling: SamplingDefaults
    pointing: ChatFormat.Pointing
    training_range_json: str
    def __init__(self, templates: _Optional[_Iterable[str]] = ..., template: _Optional[str] = ..., pictures_template: _Optional[str] = ..., tools: _Optional[_Union[ChatFormat.Tools, str]] = ..., call_opening: _Optional[str] = ..., call_closing: _Optional[str] = ..., problem: _Optional[str] = ..., end_tokens: _Optional[_Iterable[str]] = ..., sampling: _Optional[_Union[SamplingDefaults, _Mapping]] = ..., pointing: _Optional[_Union[ChatFormat.Pointing, str]] = ..., training_range_json: _Optional[str] = ...) -> None: ...

class SamplingDefaults(_message.Message):
    __slots__ = ("temperature", "top_p", "top_k", "repetition_penalty")
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    TOP_P_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    REPETITION_PENALTY_FIELD_NUMBER: _ClassVar[int]
    temperature: float
    top_p: float
    top_k: int
    repetition_penalty: float
    def __init__(self, temperature: _Optional[float] = ..., top_p: _Optional[float] = ..., top_k: _Optional[int] = ..., repetition_penalty: _Optional[float] = ...) -> None: ...
