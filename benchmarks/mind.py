"""What a mind costs and can do: `python benchmarks/mind.py cost|missions --model DIR [--save results/mind-cost.json]`.

DIR is a directory of a Qwen-VL with tools: its tokenizer, templates and picture figures are used, its weights are not.
`cost`: tokens of prompt a decision, native and compact, over one mission of the stand-in mind; and how long a decision
takes with a conversation of 1,000 tokens against none, on models of the pilot's size and of 30 million random weights.
`missions`: the stand-in mind on its twelve missions and on 20 that are drawn with `--seed` (fresh, and printed).
"""

import argparse
import json
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import AddedToken, Tokenizer

from stillwing_agent.core.prompting.compact import CompactProfile
from stillwing_agent.core.prompting.prompts import decision_prompt
from stillwing_common.conditions import commit, hardware
from stillwing_lab.evaluate.simulated_loop import SimulatedLoop
from stillwing_lab.stand_in.drawn_missions import drawn_missions
from stillwing_lab.stand_in.engine import stand_in_engine
from stillwing_lab.stand_in.flying import ChangingSight, Connect, Flown, fly
from stillwing_lab.stand_in.mind import StandInMind
from stillwing_lab.stand_in.missions import TWELVE, StandInMission, faults
from stillwing_lab.tiny_model import write_middle_model, write_tiny_model
from stillwing_vlm.core.catalog import LoadedEngine, ModelSource
from stillwing_vlm.core.conversation import AssistantTurn, Tool, ToolCall, ToolCallFormat, ToolTurn, Turn, UserTurn
from stillwing_vlm.core.inputs.text import ChatText
from stillwing_vlm.core.local import LocalEngine
from stillwing_vlm.core.requests import AskRequest
from stillwing_vlm.core.serving.engine import AsyncEngine

TAGS = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
TEMPLATES = ("chat_template.json", "chat_template.jinja", "tokenizer_config.json")
ANSWER_TOKENS, REPEATS, FRAMES, CONVERSATION_TOKENS, DRAWN = 24, 9, 24, 1000, 20
MOVE = Tool(
    "move_forward",
    "Flies level straight ahead.",
    '{"type": "object", "properties": {"distance_m": {"type": "number", "minimum": 0.1, "maximum": 10}}, '
    '"required": ["distance_m"]}',
)
CLOSING = "2.0 m above home, heading 12 (north). What do you see, and what do you do next?"
GOAL = "Fly to the red beacon."


class Flights:
    """Flies missions of the stand-in with the templates and the tokenizer of a directory."""

    def __init__(self, directory: Path) -> None:
        self._sight = ChangingSight()
        self._loaded = stand_in_engine(directory, StandInMind(), self._sight.look)

    def flown(self, mission: StandInMission) -> Flown:
        """One mission."""
        scene = mission.build()
        self._sight.turn_to(scene)
        return fly(scene, mission.goal, self._connect(), mission.conditions, mission.operator)

    def _connect(self) -> Connect:
        @asynccontextmanager
        async def connect(loop: SimulatedLoop) -> AsyncIterator[AsyncEngine]:
            engine = AsyncEngine(self._loaded)
            yield engine
            loop.begin_computing()
            try:
                await engine.close()
            finally:
                loop.end_computing()

        return connect


def prompt_tokens(directory: Path) -> dict[str, Any]:
    """Tokens of the prompt of each decision: native, in a mission; compact, with a refusal and without."""
    flown = Flights(directory).flown(TWELVE[0])
    native = [answer.question_tokens for answer in flown.answers if answer.tool_call is not None]
    text = ChatText.from_file(directory / "tokenizer.json")
    compact = [len(text.question(decision_prompt(GOAL, reason))) for reason in (None, "OBSTRUCTED")]
    median = statistics.median(native)
    return {
        "native": {"first": native[0], "median": median, "most": max(native), "decisions": len(native)},
        "compact": {"without_refusal": compact[0], "with_refusal": compact[1]},
        "native_over_compact": round(median / compact[0], 1),
        "opening_compact": len(text.opening(CompactProfile().briefing().system_prompt)),
    }


def chatting(directory: Path, published: Path) -> Path:
    """A small model's directory with the templates of a published one, and their tags in its tokenizer."""
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    tokenizer.add_tokens([AddedToken(tag, special=False, normalized=False) for tag in TAGS])
    tokenizer.save(str(directory / "tokenizer.json"))
    for name in TEMPLATES:
        if (published / name).is_file():
            shutil.copy(published / name, directory / name)
    return directory


def conversation(loaded: LoadedEngine, tokens: int) -> list[Turn]:
    """A question with so many tokens more than one without a past, as near as whole turns come."""
    turns: list[Turn] = [UserTurn(GOAL)]

    def question(turns: list[Turn]) -> int:
        request = AskRequest(messages=(*turns, UserTurn(CLOSING)) if len(turns) > 1 else (turns[0],))
        return len(loaded.preparer.ask(request).question_ids)

    bare = len(loaded.preparer.ask(AskRequest(messages=(UserTurn(f"{GOAL}\n\n{CLOSING}"),))).question_ids)
    while question(turns) - bare < tokens:
        call = ToolCall("move_forward", json.dumps({"distance_m": len(turns) % 9 + 1}))
        turns += [AssistantTurn("A red beacon stands behind a hedge.", (call,)), ToolTurn("Done.", "move_forward")]
    return [*turns, UserTurn(CLOSING)]


def decision_times(directory: Path) -> dict[str, Any]:
    """Medians in seconds of a decision with a long conversation and with none, turn by turn, and their ratio."""
    engine = LocalEngine.load(ModelSource(str(directory), device="cpu", threads=1))
    session = engine.open("You fly a drone.", tools=(MOVE,), max_context_tokens=8192)
    rng = np.random.default_rng(0)
    for _ in range(FRAMES):
        session.append(rng.integers(0, 255, (240, 320, 3), np.uint8))
    asked = {
        "none": [UserTurn(f"{GOAL}\n\n{CLOSING}")],
        "long": conversation(engine.loaded, CONVERSATION_TOKENS),
    }
    taken: dict[str, list[float]] = {name: [] for name in asked}
    tokens = {}
    for repeat in range(REPEATS + 1):
        for name, turns in asked.items():
            began_s = time.perf_counter()
            done = session.ask(turns, answer_format=ToolCallFormat(max_thought_tokens=64), max_tokens=ANSWER_TOKENS)
            if repeat:
                taken[name].append(time.perf_counter() - began_s)
            tokens[name] = done.question_tokens
    medians = {name: statistics.median(values) for name, values in taken.items()}
    return {
        "parameters": engine.info().parameters,
        "question_tokens": tokens,
        "answer_tokens": ANSWER_TOKENS,
        "context_tokens": session.info().context_tokens,
        "median_s": {name: round(value, 4) for name, value in medians.items()},
        "long_over_none": round(medians["long"] / medians["none"], 2),
    }


def cost(published: Path) -> dict[str, Any]:
    """See the module."""
    with tempfile.TemporaryDirectory() as folder:
        pilot_sized = write_tiny_model(
            Path(folder) / "pilot-sized", frame_tokens=88, hidden_size=192, intermediate_size=512, num_hidden_layers=4,
            num_attention_heads=3, num_key_value_heads=1, initializer_range=0.05,
            rope_parameters={"rope_type": "default", "mrope_section": [8, 12, 12], "rope_theta": 1e6},
        )  # fmt: skip
        middle = write_middle_model(Path(folder) / "middle")
        return {
            "prompt_tokens": prompt_tokens(published),
            "decision": {
                "pilot_sized": decision_times(chatting(pilot_sized, published)),
                "30_million": decision_times(chatting(middle, published)),
            },
        }


def missions(published: Path, seed: int) -> dict[str, Any]:
    """See the module."""
    print(f"--seed {seed} draws the same missions")
    flights, found = Flights(published), {}
    for kind, flown in (("twelve", TWELVE), ("drawn", tuple(drawn_missions(seed, DRAWN)))):
        wrong = {}
        for mission in flown:
            said = faults(mission, flights.flown(mission))
            print(f"{mission.name}: {mission.goal} {said or 'as it should be'}", flush=True)
            if said:
                wrong[f"{mission.name}: {mission.goal}"] = said
        found[kind] = {"flown": len(flown), "as_they_should_be": len(flown) - len(wrong), "wrong": wrong}
    return {"seed": seed, **found}


def main() -> None:
    """Measure, print, save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("cost", "missions"))
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--save", type=Path)
    wanted = parser.parse_args()
    measured = cost(wanted.model) if wanted.what == "cost" else missions(wanted.model, wanted.seed)
    report = {
        "command": f"python benchmarks/mind.py {wanted.what} --model DIR",
        "commit": commit(),
        "hardware": hardware(),
        "model": json.loads((wanted.model / "config.json").read_text())["model_type"],
        **measured,
    }
    print(json.dumps(report, indent=1, ensure_ascii=False))
    if wanted.save is not None:
        wanted.save.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
