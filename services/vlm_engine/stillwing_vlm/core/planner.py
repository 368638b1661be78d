"""How many tokens a session's trunk may hold by default, from the memory that is free and the model's sizes, and why.

It knows nothing of models or devices beyond their figures.
"""

from dataclasses import dataclass

_SLACK = 1.25
_SESSIONS_PLANNED = 2
_HEADROOM = 0.5
"""Share of free memory left to activations, images and everything else."""


@dataclass(frozen=True, slots=True)
class BudgetPlan:
    """A default budget.

    `memory_tokens` fit the device; `window_frames` is what the model was trained to look back on.
    """

    memory_tokens: int
    window_frames: int | None
    frame_tokens: int
    reason: str

    def budget(self, opening_tokens: int) -> int:
        """Tokens for a session whose opening text has `opening_tokens`."""
        if self.window_frames is None:
            return self.memory_tokens
        return min(self.memory_tokens, opening_tokens + (1 + self.window_frames) * self.frame_tokens)


def plan_budget(
    *, free_bytes: int, bytes_per_token: int, max_positions: int, frame_tokens: int, window_frames: int | None = None
) -> BudgetPlan:
    """Plan from `free_bytes` of the device; `window_frames` caps the window where the model asks for it.

    The slab is a quarter larger than the budget, room is kept for a second session, and more tokens than the positions
    a model was made for are of no use to it.
    """
    fitting = int(free_bytes * _HEADROOM / _SESSIONS_PLANNED / (bytes_per_token * _SLACK))
    reason = (
        f"{free_bytes / 2**30:.1f} GiB free, {_HEADROOM:.0%} kept for the rest, {_SESSIONS_PLANNED} sessions, "
        f"{bytes_per_token} bytes a token and a quarter of slack: {fitting} tokens"
    )
    if fitting > max_positions:
        reason = f"the model was made for {max_positions} positions; {reason}"
    memory_tokens = min(fitting, max_positions)
    if window_frames is not None:
        reason = f"the model looks back on {window_frames} frames of {frame_tokens} tokens beside the sink; {reason}"
    return BudgetPlan(max(1, memory_tokens), window_frames, frame_tokens, reason)
