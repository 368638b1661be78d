"""Ways of flying that an evaluation compares: who decides, in which mode, with how much memory, by which tools.

It knows nothing of how an episode is flown or judged.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from stillwing_agent.core.prompting.prompts import ToolStyle
from stillwing_common.errors import InvalidInput, UnknownBackend
from stillwing_lab.evaluate.policies import BASELINES

RANDOM_WEIGHTS = "random_weights"
"""The tool-calling policy on the model's shape with weights made up."""

POLICIES = ("tool_calling", "choice", RANDOM_WEIGHTS, "random", "always_forward", "hover", "expert")

READER = "reader"
"""Whoever reads every sign that is in its memory, in place of a model; for mazes."""

MODES = ("coupled", "paused")
"""Whether the world goes on while the model thinks."""

MEMORIES = ("none", "recent", "window", "gap", "bank", "unbounded")
"""What an answer sees beside the opening text and the first chunk, which are never evicted.

The newest chunk alone; the newest four; the sliding window; the same with its positions left as they were; the window
and what the memory bank brings back of what left it; all there ever was.
"""

RECALLS = ("pixels", "kept", "wrong")
"""What the bank brings back: pictures, encoded again; keys and values as the engine kept them; pictures that lie."""

STYLES = tuple(style.value for style in ToolStyle)


@dataclass(frozen=True, slots=True)
class Way:
    """One way of flying. `recall` matters with the memory "bank" alone, `style` to the tool-calling policies."""

    policy: str
    mode: str = "coupled"
    memory: str = "window"
    recall: str = "pixels"
    style: str = "moves"

    @property
    def asks_a_model(self) -> bool:
        """Whether a model decides."""
        return self.policy not in BASELINES

    @property
    def name(self) -> str:
        """The policy, with what is not the usual."""
        told = [word for word in (self.mode, self.memory) if word not in ("coupled", "window")]
        told += [f"recall {self.recall}"] if self.recall != "pixels" else []
        told += ["by points"] if self.style == "pixels" else []
        return ", ".join([self.policy, *told])

    def check(self) -> None:
        """Raises UnknownBackend for a policy or a memory that does not exist, InvalidInput for the rest."""
        if self.policy not in (*POLICIES, READER):
            known = ", ".join((*POLICIES, READER))
            raise UnknownBackend(f"no policy is called {self.policy!r}; known: {known}", name=self.policy)
        if self.memory not in MEMORIES:
            raise UnknownBackend(f"no memory is called {self.memory!r}; known: {', '.join(MEMORIES)}", name=self.memory)
        for field, value, values in (
            ("mode", self.mode, MODES),
            ("recall", self.recall, RECALLS),
            ("style", self.style, STYLES),
        ):
            if value not in values:
                raise InvalidInput(f"{field} is one of {', '.join(values)}, not {value!r}", field=field)


def ways(
    policies: Sequence[str],
    modes: Sequence[str] = ("coupled",),
    memories: Sequence[str] = ("window",),
    recalls: Sequence[str] = ("pixels",),
    styles: Sequence[str] = ("moves",),
) -> list[Way]:
    """Every combination that differs: who asks no model thinks in no time and remembers nothing, and flies one way."""
    return list(dict.fromkeys(_all(policies, modes, memories, recalls, styles)))


def _all(
    policies: Sequence[str],
    modes: Sequence[str],
    memories: Sequence[str],
    recalls: Sequence[str],
    styles: Sequence[str],
) -> Iterator[Way]:
    for policy, mode, memory, recall, style in product(policies, modes, memories, recalls, styles):
        way = Way(policy, mode, memory, recall, style)
        if not way.asks_a_model:
            yield Way(policy, modes[0])
            continue
        yield Way(
            policy,
            mode,
            memory,
            recall if memory == "bank" else "pixels",
            style if policy in ("tool_calling", RANDOM_WEIGHTS) else "moves",
        )
