"""What an append, a first token and a decision take with each way of computing that this machine can use.

A way is proved in a process of its own first, as when an engine starts. It knows nothing of probes.
"""

import gc
import importlib.util
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from stillwing_vlm.core.catalog import (
    AttentionKind,
    Decoding,
    KvCacheDtype,
    LoadedEngine,
    ModelSource,
    WeightDtype,
    load_engine,
)
from stillwing_vlm.core.inputs.images import Pixels
from stillwing_vlm.core.local import LocalEngine
from stillwing_vlm.core.proof.paths import prove
from stillwing_vlm.core.results import PathProof

PLAIN = "plain"
_FRAMES, _REPEATS = 16, 5
_QUESTION = "What do you do next?"
_SCHEMA = (
    '{"type":"object","properties":{"name":{"enum":["move","turn","look"]},"direction":{"enum":["forward","left",'
    '"right"]},"amount":{"type":"integer","minimum":1,"maximum":90}},"required":["name","direction","amount"]}'
)
_SYSTEM_TEXT = "You fly a drone and see through its camera."


@dataclass(frozen=True, slots=True)
class Way:
    """A way of computing: the flags of `stillwing-vlm` that ask for it. `rounds`: it is less exact."""

    name: str
    flags: str
    settings: dict[str, Any]
    rounds: bool = False


@dataclass(frozen=True, slots=True)
class Speed:
    """Medians in milliseconds behind a window of so many tokens; None and `reason` where a way was left."""

    way: str
    flags: str
    rounds: bool
    reason: str
    append_ms: float | None = None
    first_token_ms: float | None = None
    decision_ms: float | None = None
    window_tokens: int = 0


def ways(device: str) -> list[Way]:
    """What there is to try on a device, the plain way first."""
    plain = Way(
        PLAIN, "--attention sdpa --decoding eager", {"attention": AttentionKind.SDPA, "decoding": Decoding.EAGER}
    )
    if device == "cpu":
        llvm = {"attention": AttentionKind.LLVM}
        static = llvm | {"decoding": Decoding.STATIC}
        return [
            plain,
            Way("llvm", "--attention llvm", llvm),
            Way("llvm, static", "--attention llvm --decoding static", static),
        ]
    triton = {"attention": AttentionKind.TRITON}
    graphs = triton | {"decoding": Decoding.GRAPHS}
    eight = {"weight_dtype": WeightDtype.INT8, "kv_cache_dtype": KvCacheDtype.FP8}
    found = [plain]
    if importlib.util.find_spec("flash_attn") is not None:
        found.append(Way("flash-attn", "--attention flash", {"attention": AttentionKind.FLASH}))
    return [
        *found,
        Way("triton", "--attention triton", triton),
        Way("triton, graphs", "--attention triton --decoding graphs", graphs),
        Way("8 bits", "--weight-dtype int8 --kv-cache-dtype fp8", eight, rounds=True),
    ]


def measure(
    source: ModelSource, device: str, pictures: list[Pixels], deadline_s: float, on_way: Callable[[str], None]
) -> Iterator[Speed]:
    """Each way in turn, on an engine of its own; one that does not prove itself is not measured."""
    known: dict[tuple[str, Any], PathProof] = {}
    every = ways(device)
    for way in every:
        on_way(way.name)
        wanted = replace(source, device=device, **way.settings)
        asked = [] if way.name == PLAIN else list(way.settings.items())
        _release(device)
        if any(each not in known for each in asked):
            # What asks for more proves this one on its way.
            most = max((each for each in every if set(asked) <= set(each.settings.items())), key=_settings)
            _, proofs = prove(replace(source, device=device, **most.settings), deadline_s)
            known |= {(proof.setting, most.settings[proof.setting]): proof for proof in proofs}
        left = [known[each] for each in asked if not known[each].is_taken]
        if left:
            yield Speed(way.name, way.flags, way.rounds, f"left: {left[0].wanted} {left[0].reason}")
            continue
        told = "; ".join(f"{known[each].wanted}: {known[each].reason}" for each in asked)
        found = _measured(load_engine(wanted), pictures)
        yield replace(found, way=way.name, flags=way.flags, rounds=way.rounds, reason=told)


def _release(device: str) -> None:
    """Give the device back what the engine before had: the next one is loaded in this process and in others."""
    gc.collect()
    if device != "cpu":
        torch.cuda.empty_cache()


def _settings(way: Way) -> int:
    return len(way.settings)


def _measured(loaded: LoadedEngine, pictures: list[Pixels]) -> Speed:
    session = LocalEngine(loaded).open(_SYSTEM_TEXT)
    appended = [session.append(pictures[index % len(pictures)]).elapsed_s for index in range(_FRAMES + _REPEATS)][
        _FRAMES:
    ]
    asked = [session.ask(_QUESTION, max_tokens=1).time_to_first_token_s for _ in range(1 + _REPEATS)][1:]
    decided = [session.ask(_QUESTION, json_schema=_SCHEMA, max_tokens=48).elapsed_s for _ in range(1 + _REPEATS)][1:]
    append_ms, first_ms, decision_ms = (1e3 * statistics.median(part) for part in (appended, asked, decided))
    window = session.info().context_tokens
    return Speed("", "", False, "", round(append_ms, 2), round(first_ms, 2), round(decision_ms, 2), window)


def advice(found: list[Speed]) -> Speed:
    """Which to take: the fastest decision of those as exact as the plain way, and that where it gains a tenth."""
    usable = [each for each in found if each.decision_ms is not None and not each.rounds]
    plain = next(each for each in usable if each.way == PLAIN)
    best = min(usable, key=lambda each: each.decision_ms or 0.0)
    return best if (best.decision_ms or 0.0) < 0.9 * (plain.decision_ms or 0.0) else plain
