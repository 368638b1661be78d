"""A chat template as a program: compiled and rendered in Jinja's sandbox, as transformers does, within limits.

A template comes with a model's files, so it is code of others'. The sandbox keeps it from files and from Python's own
objects; here its loops and calls are counted, their time is limited and its text is bounded, so that none runs on or
fills the memory step by step. What a single operation costs is not bounded: a template is trusted that far. It knows
nothing of tokens, conversations or models.
"""

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import jinja2
import jinja2.ext
from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

MAX_SOURCE_CHARS = 200_000
MAX_STEPS = 200_000
"""Turns of loops and calls of one rendering: a conversation of hundreds of messages takes some thousands."""
MAX_SECONDS = 2.0
"""Of the processor's time, for one rendering, looked at with every step: a thousand times what one takes."""
MAX_TEXT_CHARS = 4_000_000
"""Longest text that a rendering gives, or that it holds in a variable."""


@dataclass(slots=True)
class _Allowance:
    """Of one rendering."""

    steps: int
    until_s: float


_allowance: ContextVar[_Allowance] = ContextVar("_allowance")


class TemplateFault(Exception):
    """Why a template gives no text, in words that follow on "the chat template"."""


class SandboxedTemplate:
    """One compiled template. Any thread may render it."""

    def __init__(self, source: str, now: datetime) -> None:
        """`now`: the time that the template is told, always the same, so that a text can be rendered again.

        Raises TemplateFault.
        """
        if len(source) > MAX_SOURCE_CHARS:
            raise TemplateFault(f"has {len(source)} characters, at most {MAX_SOURCE_CHARS}")
        try:
            self._template = _environment(now).from_string(source)
        except (jinja2.TemplateError, RecursionError, SyntaxError, MemoryError) as error:
            raise TemplateFault(f"cannot be compiled: {_words(error)}") from error

    def render(self, variables: Mapping[str, Any]) -> str:
        """The text that it makes of `variables`. Raises TemplateFault."""
        left = _allowance.set(_Allowance(MAX_STEPS, time.thread_time() + MAX_SECONDS))
        parts: list[str] = []
        chars = 0
        try:
            for part in self._template.generate(**variables):
                parts.append(part)
                chars += len(part)
                _check_chars(chars)
        except jinja2.TemplateError as error:
            raise TemplateFault(f"refuses it: {_words(error)}") from error
        except TemplateFault:
            raise
        except Exception as error:  # the template's own code runs here, and breaks in its own ways
            raise TemplateFault(f"breaks with {type(error).__name__}: {_words(error)}") from error
        finally:
            _allowance.reset(left)
        return "".join(parts)


def _words(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def _check_chars(chars: int) -> None:
    if chars > MAX_TEXT_CHARS:
        raise TemplateFault(f"makes more than {MAX_TEXT_CHARS} characters")


def _step() -> None:
    left = _allowance.get()
    left.steps -= 1
    if left.steps < 0:
        raise TemplateFault(f"takes too long: more than {MAX_STEPS} steps")
    if time.thread_time() > left.until_s:
        raise TemplateFault(f"takes too long: more than {MAX_SECONDS:g} s")


# A filter that wants the context is never evaluated while the template is compiled.
@jinja2.pass_context
def _counted(context: Context, items: Iterable[Any]) -> Iterator[Any]:
    for item in items:
        _step()
        yield item


@jinja2.pass_context
def _bounded(context: Context, value: Any) -> Any:
    if isinstance(value, str | list | tuple | dict):
        _check_chars(len(value))
    return value


class _WithinLimits(NodeTransformer):
    """Counts the turns of every loop and bounds what every variable holds."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        self.generic_visit(node)
        node.iter = _filtered(cast(nodes.Expr, node.iter), "counted")
        return node

    def visit_Assign(self, node: nodes.Assign) -> nodes.Node:
        self.generic_visit(node)
        node.node = _filtered(cast(nodes.Expr, node.node), "bounded")
        return node

    def visit_AssignBlock(self, node: nodes.AssignBlock) -> nodes.Node:
        self.generic_visit(node)
        node.filter = _filtered(node.filter, "bounded")
        return node


def _filtered(node: nodes.Expr | None, name: str) -> nodes.Filter:
    return nodes.Filter(node, f"stillwing_{name}", [], [], None, None)


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset(("*", "**"))

    def _generate(self, source: nodes.Template, *arguments: Any, **keywords: Any) -> str:
        return super()._generate(_WithinLimits().visit(source), *arguments, **keywords)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """As the sandbox does, counted."""
        _step()
        return super().call(__context, __obj, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """As the sandbox does, within bounds."""
        if operator == "**" and not (abs(left) <= 1e6 and abs(right) <= 64):
            raise TemplateFault(f"raises {left!r} to the power of {right!r}")
        if operator == "*":
            for times, many in ((left, right), (right, left)):
                if isinstance(times, int) and isinstance(many, str | list | tuple):
                    _check_chars(times * len(many))
        return super().call_binop(context, operator, left, right)


class _GenerationTag(jinja2.ext.Extension):
    """`{% generation %}` marks what a model writes, for training; what stands in it is rendered as it is."""

    tags = {"generation"}  # noqa: RUF012  Jinja declares it so

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Namespace(Namespace):
    """Refuses names that could lead to Python's own objects."""

    def __init__(self, *arguments: Any, **values: Any) -> None:
        super().__init__()
        for name, value in dict(*arguments, **values).items():
            self[name] = value

    def __setitem__(self, name: str, value: Any) -> None:
        if str(name).startswith("_"):
            raise SecurityError(f"a namespace takes no name such as {name!r}")
        super().__setitem__(name, value)


def _environment(now: datetime) -> _Environment:
    """Jinja with the options, filters and functions that published templates expect of transformers."""
    environment = _Environment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, jinja2.ext.loopcontrols]
    )

    def raise_exception(message: str) -> None:
        raise jinja2.TemplateError(str(message))

    def tojson(
        value: Any,
        ensure_ascii: bool = False,
        indent: int | None = None,
        separators: Any = None,
        sort_keys: bool = False,
    ) -> str:
        # Jinja's own escapes characters of HTML.
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    environment.filters.update(tojson=tojson, stillwing_counted=_counted, stillwing_bounded=_bounded)
    environment.globals.update(
        raise_exception=raise_exception, strftime_now=now.strftime, namespace=_Namespace, dict=lambda **items: items
    )
    return environment
