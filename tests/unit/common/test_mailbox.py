"""Newest-wins mailbox. Run: python -m pytest tests/unit/common/test_mailbox.py -v"""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillwing_common.mailbox import Closed, Mailbox


async def test_newest_wins_and_the_gap_counts_the_drops() -> None:
    box: Mailbox[str] = Mailbox()
    for value in "abc":
        box.put(value)
    item = await box.get()
    assert (item.sequence, item.value) == (3, "c")


async def test_a_waiting_reader_is_woken() -> None:
    box: Mailbox[int] = Mailbox()
    waiting = asyncio.create_task(box.get())
    await asyncio.sleep(0)
    box.put(7)
    assert (await asyncio.wait_for(waiting, 5)).value == 7


async def test_closing_tells_the_reader_but_keeps_the_last_value() -> None:
    box: Mailbox[int] = Mailbox()
    box.put(1)
    box.close()
    box.put(2)
    assert (await box.get()).value == 1
    with pytest.raises(Closed):
        await box.get()


@given(st.lists(st.booleans(), max_size=60))
def test_what_is_taken_is_the_newest_under_its_own_number(steps: list[bool]) -> None:
    async def run() -> None:
        box: Mailbox[str] = Mailbox()
        put = taken = 0
        for is_put in steps:
            if is_put:
                put += 1
                box.put(f"value {put}")
            elif put > taken:
                item = await box.get()
                taken = item.sequence
                assert (taken, item.value) == (put, f"value {put}")

    asyncio.run(run())
