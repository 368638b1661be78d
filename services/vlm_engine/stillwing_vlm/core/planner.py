"""How many tokens a session's trunk may hold by default: from the model's sizes, the device's free memory and what else
must fit beside the trunks, and why.

Arithmetic alone: it knows nothing of models, tensors or devices beyond their figures.
"""

from dataclasses import dataclass
from enum import Enum

SLAB_SLACK = 0.25
"""Share of the budget that a slab is larger by, so that moves are rare."""

STREAM_POSITIONS = 0.75
"""Share of a model's positions that a stream runs through before they begin anew; questions and answers have the rest.

A trunk spans at most three quarters of that share: then each time a quarter of it is gained.
"""


class BudgetPolicy(Enum):
    """How much is kept free for answers that outlast the window they see; the value is that share of a trunk.

    An eviction copies aside what a live branch still sees. A branch that lives until the whole window has been
    replaced makes that a second trunk: SAFE has room for it in every session, AGGRESSIVE for a quarter of it.
    """

    SAFE = 1.0
    AGGRESSIVE = 0.25


@dataclass(frozen=True, slots=True)
class ModelFigures:
    """What a model costs in memory, in bytes of the device.

    `cache_bytes`: a token of a slab; `branch_bytes`: one of a branch, which is in the model's type whatever the slab's;
    `pristine_bytes`: a token of sink or memory, held a second time with its key un-rotated; `kept_key_bytes`: that key
    alone; `append_bytes`: a token of the chunk under way in the language model; `patch_bytes`: a patch of it in the
    vision encoder; `heads`: query heads, each of which scores every cached token; `layers` of the language model.
    """

    cache_bytes: int
    branch_bytes: int
    pristine_bytes: int
    kept_key_bytes: int
    append_bytes: int
    patch_bytes: int
    patches_per_token: int
    heads: int
    max_positions: int
    layers: int = 1


@dataclass(frozen=True, slots=True)
class PlannedUse:
    """What is reckoned with beside the trunks: the chunk a stream is made of, sessions and their asks.

    `chunk_tokens` and `chunk_positions`: what one chunk takes of the cache and of the model's positions.
    """

    chunk_tokens: int
    chunk_positions: int
    chunk_frames: int = 1
    opening_tokens: int = 256
    sessions: int = 2
    asks: int = 8
    ask_tokens: int = 640
    keeps_keys: bool = False
    """Keys of the window are held a second time, un-rotated, to be recalled as they were."""
    rewrites_window: bool = False
    """Keys and values of the window are, to be written anew."""
    scratch_bytes: int = 0
    """What passes hold beside all that."""
    holds_scores: bool = True
    """Attention holds a mask or scores of all cached tokens, which kernels of its own spare it."""
    kept_bytes: int = 0
    """What each session keeps of evicted chunks."""


@dataclass(frozen=True, slots=True)
class BudgetPlan:
    """A default budget and how it came about.

    `memory_tokens` are the most a session gets; `fitting_tokens` what memory alone would allow, under each policy;
    `window_frames` is what the model was trained to look back on, None where it does not say.
    """

    memory_tokens: int
    window_frames: int | None
    frame_tokens: int
    reason: str
    policy: BudgetPolicy = BudgetPolicy.SAFE
    free_bytes: int = 0
    reserved_bytes: int = 0
    fitting_tokens: tuple[int, int] = (0, 0)
    """Safe, aggressive."""

    def budget(self, opening_tokens: int) -> int:
        """Tokens for a session whose opening text has `opening_tokens`."""
        if self.window_frames is None:
            return self.memory_tokens
        return min(self.memory_tokens, opening_tokens + (1 + self.window_frames) * self.frame_tokens)


def set_by_operator(tokens: int, plan: BudgetPlan) -> BudgetPlan:
    """A plan that gives every session `tokens`, and says so where the planner would not have dared."""
    safe, aggressive = plan.fitting_tokens
    reason = f"set by the operator; the planner holds {safe} tokens for safe and {aggressive} for the most"
    if tokens > aggressive:
        reason += ": this is more, and may end in 'out of memory'"
    return BudgetPlan(
        tokens, None, plan.frame_tokens, reason, plan.policy, plan.free_bytes, plan.reserved_bytes, plan.fitting_tokens
    )


def plan_budget(
    figures: ModelFigures,
    use: PlannedUse,
    *,
    free_bytes: int,
    usable_share: float = 1.0,
    policy: BudgetPolicy = BudgetPolicy.SAFE,
    window_frames: int | None = None,
) -> BudgetPlan:
    """Plan from the `free_bytes` of a device on which the weights already lie.

    `usable_share`: what of them may be taken at all; `window_frames` caps the window where the model asks for it.
    """
    reserved = _reserved_bytes(figures, use)
    left = max(0, int(free_bytes * usable_share) - reserved)
    safe, aggressive = (_fitting_tokens(figures, use, left, each) for each in BudgetPolicy)
    fitting = safe if policy is BudgetPolicy.SAFE else aggressive
    # A chunk takes fewer positions than tokens: its rows and columns share them.
    positions = int(figures.max_positions * STREAM_POSITIONS * 0.75)
    in_positions = positions * use.chunk_tokens // use.chunk_positions
    frame_tokens = -(-use.chunk_tokens // use.chunk_frames)
    kept = f"{SLAB_SLACK:.0%} of slack and {policy.value:.0%} of a trunk for long answers"
    reason = (
        f"{_gib(free_bytes)} free, {usable_share:.0%} of it usable, {_gib(reserved)} for activations, asks and sinks; "
        f"{use.sessions} sessions of {figures.cache_bytes} bytes a token with {kept} ({policy.name.lower()}): "
        f"{fitting} tokens (safe {safe}, aggressive {aggressive})"
    )
    if fitting > in_positions:
        reason = (
            f"of the model's {figures.max_positions} positions {positions} are a trunk's, which hold {in_positions} "
            f"tokens of such video; {reason}"
        )
    if window_frames is not None:
        reason = f"the model looks back on {window_frames} frames of {frame_tokens} tokens beside the sink; {reason}"
    return BudgetPlan(
        memory_tokens=max(1, min(fitting, in_positions)),
        window_frames=window_frames,
        frame_tokens=frame_tokens,
        reason=reason,
        policy=policy,
        free_bytes=free_bytes,
        reserved_bytes=reserved,
        fitting_tokens=(safe, aggressive),
    )


def peak_bytes(figures: ModelFigures, use: PlannedUse, tokens: int, weight_bytes: int) -> int:
    """What a device holds at the most, with trunks of `tokens` and no answer that outlasts its window: weights, slabs,
    and all that is reserved beside them.
    """
    slabs = use.sessions * int(tokens * (1 + SLAB_SLACK)) * figures.cache_bytes
    return weight_bytes + slabs + tokens * _passing_bytes(figures, use) + _reserved_bytes(figures, use)


_SCORE_BYTES = 8
"""A score as float32 and its weight, at their largest."""

_DECODED_ROWS = 16
"""Rows of scores that are held at once while branches decode."""


def _reserved_bytes(figures: ModelFigures, use: PlannedUse) -> int:
    """What does not grow with the budget: one chunk under way, branches, pristine keys, scratch."""
    chunk = use.chunk_tokens * (figures.append_bytes + figures.patches_per_token * figures.patch_bytes)
    branches = use.sessions * use.asks * use.ask_tokens * figures.branch_bytes
    pristine = use.sessions * (use.opening_tokens + use.chunk_tokens) * figures.pristine_bytes
    return chunk + branches + pristine + use.scratch_bytes + use.sessions * use.kept_bytes


def _fitting_tokens(figures: ModelFigures, use: PlannedUse, left_bytes: int, policy: BudgetPolicy) -> int:
    slab = (1 + SLAB_SLACK + policy.value) * figures.cache_bytes
    kept = figures.pristine_bytes if use.rewrites_window else figures.kept_key_bytes if use.keeps_keys else 0
    return int(left_bytes / (use.sessions * (slab + kept) + _passing_bytes(figures, use)))


def _passing_bytes(figures: ModelFigures, use: PlannedUse) -> int:
    """Per cached token, one append or decoding step at a time, whatever the number of sessions: the mask of a chunk, or
    rows of scores, where they are held.
    """
    if not use.holds_scores:
        return 0
    return max(use.chunk_tokens, _DECODED_ROWS * figures.heads * _SCORE_BYTES)


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / 2**30:.1f} GiB"
