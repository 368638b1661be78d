"""python -m pytest tests/unit/lab/test_simulated_loop.py -v

Simulated time: it passes only while everybody waits, and never while a thread computes.
"""

import asyncio
import itertools
import threading
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from stillwing_lab.evaluate.simulated_loop import SimulatedClock, SimulatedLoop


def run(main: object, loop_holder: list[SimulatedLoop] | None = None) -> object:
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, SimulatedLoop)
        if loop_holder is not None:
            loop_holder.append(loop)
        return runner.run(main(loop))  # type: ignore[operator]


def test_an_hour_passes_in_no_time() -> None:
    async def main(loop: SimulatedLoop) -> float:
        began_s = loop.time()
        await asyncio.sleep(3600)
        return loop.time() - began_s

    real_began_s = time.monotonic()
    assert abs(run(main) - 3600) < 1e-3  # type: ignore[operator]
    assert time.monotonic() - real_began_s < 60


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 100), min_size=1, max_size=20))
def test_sleepers_wake_in_order_and_the_world_is_told_of_all_time(delays_s: list[float]) -> None:
    passed: list[float] = []
    woken: list[float] = []

    async def main(loop: SimulatedLoop) -> float:
        loop.advance = passed.append
        began_s = loop.time()

        async def sleeper(delay_s: float) -> None:
            await asyncio.sleep(delay_s)
            woken.append(delay_s)

        await asyncio.gather(*(sleeper(delay_s) for delay_s in delays_s))
        return loop.time() - began_s

    elapsed_s = run(main)
    assert abs(sum(passed) - elapsed_s) < 1e-6  # type: ignore[operator]
    assert elapsed_s >= max(delays_s) - 1e-6  # type: ignore[operator]
    assert all(before <= after + 1e-5 for before, after in itertools.pairwise(woken))


def test_time_stands_still_while_a_thread_computes() -> None:
    async def main(loop: SimulatedLoop) -> tuple[float, int]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.001)
                ticks += 1

        ticking = asyncio.create_task(tick())
        await asyncio.sleep(0.01)
        before_s, before_ticks = loop.time(), ticks
        await asyncio.to_thread(threading.Event().wait, 0.2)
        ticking.cancel()
        return loop.time() - before_s, ticks - before_ticks

    elapsed_s, ticks = run(main)  # type: ignore[misc]
    assert elapsed_s < 0.002
    assert ticks <= 2


def test_a_timeout_ends_what_never_ends() -> None:
    async def main(loop: SimulatedLoop) -> bool:
        try:
            async with asyncio.timeout(30):
                await asyncio.Event().wait()
        except TimeoutError:
            return True
        return False

    assert run(main) is True


def test_code_that_spins_until_a_moment_gets_there() -> None:
    async def main(loop: SimulatedLoop) -> bool:
        until_s = loop.time() + 1e-5
        while loop.time() < until_s:  # noqa: ASYNC110  # what is tested: asking again instead of waiting
            await asyncio.sleep(0)
        return True

    assert run(main) is True


def test_the_clock_is_the_loops() -> None:
    async def main(loop: SimulatedLoop) -> tuple[float, int]:
        clock = SimulatedClock(loop)
        began = clock.monotonic_s(), clock.wall_ns()
        await asyncio.sleep(2)
        return clock.monotonic_s() - began[0], clock.wall_ns() - began[1]

    monotonic_s, wall_ns = run(main)  # type: ignore[misc]
    assert abs(monotonic_s - 2) < 1e-3
    assert abs(wall_ns - 2_000_000_000) < 1_000_000
