"""Newest-wins mailbox. Run: python -m pytest tests/unit/common/test_mailbox.py -v"""

import asyncio
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillwing_common.mailbox import Closed, Mailbox


async def test_newest_wins_and_the_gap_counts_the_drops() -> None:
    box: Mailbox[str] = Mailbox()
    for value in "abc":
        box.put(value)
    item = await box.get()
    assert (item.sequence, item.value, box.dropped) == (3, "c", 2)


async def test_a_waiting_reader_is_woken_from_another_thread() -> None:
    box: Mailbox[int] = Mailbox()
    waiting = asyncio.create_task(box.get())
    await asyncio.sleep(0)
    thread = threading.Thread(target=box.put_threadsafe, args=(7,))
    thread.start()
    item = await asyncio.wait_for(waiting, 5)
    thread.join()
    assert item.value == 7


async def test_closing_tells_the_reader_but_keeps_the_last_value() -> None:
    box: Mailbox[int] = Mailbox()
    box.put(1)
    box.close()
    box.put(2)
    assert (await box.get()).value == 1
    with pytest.raises(Closed):
        await box.get()


@given(st.lists(st.booleans(), max_size=60))
def test_sequence_gaps_always_add_up_to_the_drops(steps: list[bool]) -> None:
    async def run() -> None:
        box: Mailbox[int] = Mailbox()
        put = 0
        taken: list[int] = []
        for is_put in steps:
            if is_put:
                put += 1
                box.put(put)
            elif put and (not taken or taken[-1] != put):
                taken.append((await box.get()).sequence)
        unread = 1 if put and (not taken or taken[-1] != put) else 0
        assert box.dropped == put - len(taken) - unread
        assert taken == sorted(set(taken))

    asyncio.run(run())
