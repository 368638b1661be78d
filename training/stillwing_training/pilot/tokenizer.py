"""The pilot's own byte-level BPE: any text encodes, and the glue of a tool call is one token each.

So a tool call is about eight tokens of which one or two are real decisions. It knows nothing of models or pictures.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from stillwing_agent.core.prompting.prompts import (
    CHOICES,
    TOOLS,
    WHERES,
    choice_prompt,
    decision_prompt,
    dump_tool_call,
    system_prompt,
    where_prompt,
)
from stillwing_airfield.scenes.maze import MISSION
from stillwing_training.pilot.config import ACTIONS, COLOURS, GOALS, SIGN, SPECIAL_TOKENS

VOCABULARY_LIMIT = 960

SIGN_QUESTION = "Which way does the sign send?"
"""Asked in training alone, so that what the sign said is learnt before turns depend on it; left, right or none."""

# First the runs of JSON between two decisions and the fixed parts of questions, whole; then words, numbers of up to two
# digits, other signs, white space.
_PIECES = "|".join(
    [
        r'\{"name":"',
        r'","arguments":\{(?:\}\}|"[a-z_]+":"?)',
        r'"?,"[a-z_]+":"?',
        r'"?\}\}',
        r"assistant\n",
        r"(?:Fly to|Where is) the",
        r"Remember the sign: red turns left, blue turns right\.",
        r" (?:Next action|Which way)\?",
        r" ?[A-Za-z_]+",
        r" ?\d{1,2}",
        r"[^A-Za-z_\d\s]+",
        r"\s+",
    ]
)

_CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Train the tokenizer on the words the agent and the model say to each other; the same one every time."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        _corpus(),
        trainers.BpeTrainer(
            vocab_size=VOCABULARY_LIMIT,
            min_frequency=2,
            special_tokens=list(SPECIAL_TOKENS),
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    # The lines of the system text are always the same, so each is one token of the sink.
    tokenizer.add_tokens([line for line in system_prompt().split("\n") if line])
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=_CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=32768,
    )


def save_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write `tokenizer.json`, `tokenizer_config.json` and the chat template into `folder`."""
    tokenizer.save_pretrained(folder)


def _example_arguments(arguments: dict[str, dict[str, Any]], number: float | int, word: str) -> dict[str, Any]:
    filled: dict[str, Any] = {}
    for name, schema in arguments.items():
        if "enum" in schema:
            filled[name] = schema["enum"][int(number) % len(schema["enum"])]
        else:
            filled[name] = number if schema["type"] == "number" else word
    return filled


def _corpus() -> Iterator[str]:
    words = ["reached", "lost", "What is ahead?", "the red beacon", "Where is the blue beacon?", "a tree"]
    for number in [
        *range(100),
        *(tenths / 10 for tenths in range(50)),
        *(hundredths / 100 for hundredths in range(100)),
    ]:
        for index, tool in enumerate(TOOLS):
            word = words[(int(number) + index) % len(words)]
            yield dump_tool_call({"name": tool.name, "arguments": _example_arguments(tool.arguments, number, word)})
        yield f" {number} m, {number} deg."
    for _ in range(40):
        yield f"<|im_start|>system\n{system_prompt()}<|im_end|>\n<|im_start|>user\n"
        for named in GOALS:
            for goal in goal_texts(named):
                for refusal in (None, "OBSTRUCTED", "OBSERVATION_STALE", "FENCE", "COLLISION", "TIMEOUT"):
                    yield f"{decision_prompt(goal, refusal)}<|im_end|>\n<|im_start|>assistant\n"
                    yield f"{choice_prompt(goal, refusal)}<|im_end|>\n<|im_start|>assistant\n"
            yield f"{where_prompt(thing(named))}<|im_end|>\n<|im_start|>assistant\n"
        yield f"{SIGN_QUESTION}<|im_end|>\n<|im_start|>assistant\n"
        yield from (dump_tool_call(call) for call in CHOICES.values())
        yield " ".join((*ACTIONS, *WHERES))
        yield from (*ACTIONS, *WHERES, *COLOURS)
        yield json.dumps({"tree": "ground", "sky": "wall", "door": "house", "sign": "path", "yes": "no"})


def thing(goal: str) -> str:
    """What to look for on the way to a goal, in words."""
    return "the sign" if goal == SIGN else f"the {goal} beacon"


def goal_texts(goal: str) -> tuple[str, ...]:
    """Ways to say one of `GOALS`; the first is the one missions use."""
    if goal == SIGN:
        return (MISSION,)
    return (
        f"Fly to the {goal} beacon.",
        f"Go to the {goal} beacon.",
        f"Find the {goal} beacon and stop there.",
        f"Reach the {goal} beacon.",
    )
