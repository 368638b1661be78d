"""Which faster paths a source asks for, and whether they may be taken: proved in a process of its own, beside the plain
path, one after another.
"""

import importlib.util
import multiprocessing
from collections.abc import Sequence
from dataclasses import replace
from enum import Enum

from stillwing_vlm.core.catalog import AttentionKind, Decoding, Dtype, KvCacheDtype, ModelSource, WeightDtype
from stillwing_vlm.core.proof.trial import Candidate, CandidateDone, PlainDone, run_trial, with_faster
from stillwing_vlm.core.results import PathProof

_FASTER: dict[str, tuple[Enum, ...]] = {
    "weight_dtype": (WeightDtype.INT8,),
    "attention": (AttentionKind.TRITON, AttentionKind.FLASH, AttentionKind.LLVM),
    "kv_cache_dtype": (KvCacheDtype.FP8,),
    "decoding": (Decoding.STATIC, Decoding.GRAPHS),
}
"""What has to prove itself, in the order in which it is tried."""

_PLAIN: dict[str, Enum] = {
    "weight_dtype": WeightDtype.AUTO,
    "attention": AttentionKind.SDPA,
    "kv_cache_dtype": KvCacheDtype.AUTO,
    "decoding": Decoding.EAGER,
}

_SAME_SUMS = {Dtype.FLOAT32: 2e-3, Dtype.BFLOAT16: 0.1}
"""What the same sums in another order may be off by at the worst choice, as a share of the scores' spread. Measured on
the CPU over random models of up to eight layers: 4e-6, and 0.03 in bfloat16.
"""

_FEWER_BITS = {"weight_dtype": 0.15, "kv_cache_dtype": 0.15}
"""8 bits round more: measured on the same models 0.08, and 0.33 on one whose random weights are as large as to be
chaotic, which is left.
"""

_MOST_PLAIN_S = 900.0
_TIMES_PLAIN = 4.0
"""A path may take so many times as long as the plain one, loading included, if that is more than the deadline."""

_ENDING_S = 10.0


def candidates(source: ModelSource) -> list[Candidate]:
    """The faster paths that a source asks for; with attention "auto", flash-attn where a card may have it."""
    # Asked for without a device, it may be a card.
    dtype = Dtype.BFLOAT16 if source.dtype is Dtype.AUTO and source.device != "cpu" else source.dtype
    rounding = _SAME_SUMS[Dtype.FLOAT32 if dtype is Dtype.AUTO else dtype]
    wanted = source
    may_be_a_card = source.device != "cpu" and importlib.util.find_spec("flash_attn") is not None
    if source.attention is AttentionKind.AUTO and may_be_a_card:
        wanted = replace(source, attention=AttentionKind.FLASH)
    return [
        Candidate(setting, getattr(wanted, setting), _FEWER_BITS.get(setting, rounding), setting in _FEWER_BITS)
        for setting, faster in _FASTER.items()
        if getattr(wanted, setting) in faster
    ]


def prove(source: ModelSource, deadline_s: float) -> tuple[ModelSource, tuple[PathProof, ...]]:
    """`source` with every faster path that did not prove itself replaced by the plain one, and what became of each. One
    that raises, gives no answer within `deadline_s`, ends its process or gives other answers is left.
    """
    left = candidates(source)
    plain = with_faster(source, [replace(each, value=_plain(source, each)) for each in left])
    held: list[Candidate] = []
    proofs: list[PathProof] = []
    while left:
        for outcome in _tried(plain, held, left, deadline_s):
            candidate = left.pop(0)
            proofs.append(PathProof(candidate.setting, candidate.value.value, outcome.is_taken, outcome.reason))
            if outcome.is_taken:
                held.append(candidate)
    return with_faster(plain, held), tuple(proofs)


def _plain(source: ModelSource, candidate: Candidate) -> Enum:
    """What stands in for a candidate: what was asked for, where that was not the candidate, otherwise the plainest."""
    asked: Enum = getattr(source, candidate.setting)
    return _PLAIN[candidate.setting] if asked is candidate.value else asked


def unproved(source: ModelSource) -> tuple[PathProof, ...]:
    """What is said of the faster paths of a source where proving is switched off."""
    return tuple(
        PathProof(candidate.setting, candidate.value.value, True, "not proved: switched off")
        for candidate in candidates(source)
        if getattr(source, candidate.setting) is candidate.value
    )


def _tried(
    plain: ModelSource, held: Sequence[Candidate], left: Sequence[Candidate], deadline_s: float
) -> list[CandidateDone]:
    """What became of the first of `left`, at least one: as many as the process lived for."""
    context = multiprocessing.get_context("spawn")
    told, telling = context.Pipe(duplex=False)
    process = context.Process(target=run_trial, args=(plain, list(held), list(left), telling), daemon=True)
    process.start()
    # The end of the process is then the end of what can be read.
    telling.close()
    found: list[CandidateDone] = []
    try:
        wait_s, plain_is_done = _MOST_PLAIN_S, False
        while len(found) < len(left):
            if not told.poll(wait_s):
                return [*found, *_broken(f"gave no answer within {wait_s:.0f} s", plain_is_done, len(left))]
            message = told.recv()
            if isinstance(message, PlainDone):
                if message.problem:
                    return _broken(f"failed: {message.problem}", plain_is_done, len(left))
                wait_s, plain_is_done = max(deadline_s, _TIMES_PLAIN * message.elapsed_s), True
            else:
                found.append(message)
        return found
    except EOFError:
        process.join(_ENDING_S)
        return [*found, *_broken(f"ended its process with {process.exitcode}", plain_is_done, len(left))]
    finally:
        process.kill()
        process.join(_ENDING_S)
        told.close()


def _broken(how: str, plain_is_done: bool, count: int) -> list[CandidateDone]:
    """One outcome; where the plain path broke, one for each, as nothing can be proved beside it."""
    if plain_is_done:
        return [CandidateDone(False, how)]
    return [CandidateDone(False, f"not proved: the plain path beside it {how}")] * count
