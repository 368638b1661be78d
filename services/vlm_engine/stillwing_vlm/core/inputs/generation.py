"""What a model's generation_config.json says: which tokens end an answer, and how tokens are to be chosen.

It reads one file and knows nothing of tokens' texts.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stillwing_common.errors import ModelNotUsable
from stillwing_vlm.core.chat_format import GREEDY, SamplingDefaults
from stillwing_vlm.core.inputs.templates.files import read_json

_FILE = "generation_config.json"
_TOP_K = 50
"""What transformers takes where a file that wants tokens drawn says nothing."""


@dataclass(frozen=True, slots=True)
class GenerationConfig:
    """`end_ids` None: the file says nothing of them, or is not there."""

    end_ids: frozenset[int] | None = None
    sampling: SamplingDefaults = GREEDY


def read_generation(directory: Path) -> GenerationConfig:
    """What the directory says. Raises ModelNotUsable where it cannot be meant."""
    content = read_json(directory / _FILE)
    try:
        return GenerationConfig(_end_ids(content.get("eos_token_id")), _sampling(content))
    except (TypeError, ValueError) as error:
        raise ModelNotUsable(f"its {_FILE} is not valid: {error}") from error


def _end_ids(value: Any) -> frozenset[int] | None:
    if value is None:
        return None
    ids = value if isinstance(value, list) else [value]
    if not ids or any(type(each) is not int or each < 0 for each in ids):
        raise ValueError(f"eos_token_id {value!r} is no token, and no list of tokens")
    return frozenset(ids)


def _sampling(content: dict[str, Any]) -> SamplingDefaults:
    def figure(name: str, default: float, least: float, most: float) -> float:
        value = content.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise ValueError(f"{name} is {value!r}, not {least:g} to {most:g}")
        return float(value)

    draws = content.get("do_sample") is True
    temperature, top_p = figure("temperature", 1.0, 0.0, 100.0), figure("top_p", 1.0, 0.0, 1.0)
    top_k, penalty = figure("top_k", _TOP_K, 0, 1e9), figure("repetition_penalty", 1.0, 0.01, 100.0)
    if not draws or not temperature:
        return SamplingDefaults(repetition_penalty=penalty)
    # No mass at all stands for the most probable token, which always stays in.
    return SamplingDefaults(temperature, top_p or 1e-9, int(top_k), penalty)
