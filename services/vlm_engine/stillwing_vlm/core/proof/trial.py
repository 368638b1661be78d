"""What a trial's process does: it loads the plain path, records the conversation, and holds other paths to it.

It runs in a process of its own, because a kernel that hangs or writes where it must not takes its whole process along.
"""

import gc
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from stillwing_common.errors import StillwingError
from stillwing_vlm.core.catalog import ENGINES, Dtype, LoadedEngine, ModelSource, load_engine, model_type
from stillwing_vlm.core.proof.conversation import Recording, deviation, record

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One setting of a `ModelSource` and the faster value that was asked for. `bound`: how far the scores may be off by
    it, as a share of their spread. `rounds`: it keeps fewer bits, so that what comes after it is held to the plain path
    with as few.
    """

    setting: str
    value: Enum
    bound: float
    rounds: bool = False


@dataclass(frozen=True, slots=True)
class PlainDone:
    """The plain path has held the conversation, unless `problem` says why not; loading and holding it took so long."""

    elapsed_s: float
    problem: str = ""


@dataclass(frozen=True, slots=True)
class CandidateDone:
    """What became of a candidate."""

    is_taken: bool
    reason: str


def with_faster(source: ModelSource, candidates: Sequence[Candidate]) -> ModelSource:
    """A source with the settings of candidates."""
    settings: dict[str, Any] = {candidate.setting: candidate.value for candidate in candidates}
    return replace(source, **settings)


def run_trial(
    source: ModelSource, held: Sequence[Candidate], candidates: Sequence[Candidate], told: Connection
) -> None:
    """The process's target. `source`: the plain path; `held`: candidates that have proved themselves. Sends
    `PlainDone`, then a `CandidateDone` for each candidate, which is tried with all that held before it; and `PlainDone`
    again where the plain path was recorded anew, with as few bits as one that held.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    held = list(held)
    began_s = time.monotonic()
    try:
        # Imported once, whatever is tried: it is no part of what a path takes.
        ENGINES.load(model_type(source.directory()))
        began_s = time.monotonic()
        plain, where = _recorded(_rounded(source, held))
    except Exception as error:
        # What stands in its way stands in the engine's too, which says it in its own words.
        told.send(PlainDone(time.monotonic() - began_s, str(error) or repr(error)))
        return
    told.send(PlainDone(time.monotonic() - began_s))
    for candidate in candidates:
        outcome = _outcome(with_faster(source, [*held, candidate]), candidate.bound, plain, where)
        told.send(outcome)
        if outcome.is_taken:
            held.append(candidate)
            if candidate.rounds:
                began_s = time.monotonic()
                plain, where = _recorded(_rounded(source, held))
                told.send(PlainDone(time.monotonic() - began_s))


def _rounded(source: ModelSource, held: Sequence[Candidate]) -> ModelSource:
    return with_faster(source, [candidate for candidate in held if candidate.rounds])


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _recorded(source: ModelSource) -> tuple[Recording, str]:
    """The plain path's recording, and where it was made. On the CPU where the device cannot hold the plain path, which
    may be why 8 bits were asked for.
    """
    try:
        return _held(source, record), ""
    except Exception:
        if source.device == "cpu":
            raise
    gc.collect()
    on_cpu = replace(source, device="cpu", dtype=Dtype.BFLOAT16 if source.dtype is Dtype.AUTO else source.dtype)
    return _held(on_cpu, record), ", held to the CPU, as the device does not hold the plain path"


def _held(source: ModelSource, use: Callable[[LoadedEngine], T]) -> T:
    loaded = load_engine(source)
    try:
        return use(loaded)
    finally:
        on_card = loaded.backend.device != "cpu"
        del loaded
        gc.collect()
        if on_card:
            import torch

            torch.cuda.empty_cache()


def _outcome(source: ModelSource, bound: float, plain: Recording, where: str) -> CandidateDone:
    began_s = time.monotonic()
    try:
        found = _held(source, lambda loaded: deviation(loaded, plain, bound))
    except StillwingError as error:
        return CandidateDone(False, f"cannot run: {error}")
    except Exception as error:
        # Behind it stand compilers and drivers, which raise what they like.
        return CandidateDone(False, f"raised {error!r}"[:300])
    if not found.worst_share <= bound:
        return CandidateDone(False, f"scores differ by {found.worst_share:.2%} of their spread, of {bound:.2%} allowed")
    if found.other_token:
        return CandidateDone(False, f"other tokens: {found.other_token}")
    took_s = time.monotonic() - began_s
    return CandidateDone(
        True,
        f"same tokens, scores within {found.worst_share:.2g} of their spread at {found.choices} choices, "
        f"of {bound:.2g} allowed, in {took_s:.1f} s{where}",
    )
