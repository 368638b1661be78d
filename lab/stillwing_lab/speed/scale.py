"""How much is measured: at full size, and just enough to see that everything is."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured."""

    budgets: tuple[int, ...] = (16_384, 32_768, 100_000, 150_000)
    frame_px: tuple[int, int] = (480, 640)
    chunk_frames: int = 2
    repeats: int = 20
    question_tokens: int = 32
    answer_tokens: int = 64
    branches: int = 8
    soak_chunks: int = 2000
    sessions: tuple[int, ...] = (1, 4, 8)
    eight_bit_budgets: tuple[int, ...] = (16_384, 100_000)
    session_budget: int = 16_384
    copied_bytes: int = 4 << 30
    matrix_side: int = 8192
    library_repeats: int = 3


SMALL = Scale(
    budgets=(160, 260),
    frame_px=(56, 84),
    repeats=2,
    question_tokens=6,
    answer_tokens=24,
    branches=2,
    soak_chunks=20,
    sessions=(1, 2),
    eight_bit_budgets=(160,),
    session_budget=160,
    copied_bytes=1 << 20,
    matrix_side=64,
    library_repeats=1,
)
"""Enough to see that everything is measured, on any machine."""
