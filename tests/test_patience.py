"""A time limit that runs down only while somebody waits."""

from __future__ import annotations

import asyncio

import pytest

from nbchat.providers.patience import Patience, Silent


async def never() -> None:
    await asyncio.get_running_loop().create_future()


async def test_what_comes_in_time_is_given() -> None:
    async def soon() -> str:
        await asyncio.sleep(0)
        return "it"

    patience = Patience(60)
    assert await patience.wait(soon()) == "it"
    assert not patience.is_over


async def test_what_does_not_come_is_cancelled() -> None:
    waiting = asyncio.ensure_future(never())
    patience = Patience(0.02)
    with pytest.raises(Silent):
        await patience.wait(waiting)
    assert waiting.cancelled()
    assert patience.is_over


async def test_several_waits_share_the_time() -> None:
    patience = Patience(0.05)
    waits = 0
    while not patience.is_over:
        waits += 1
        with pytest.raises(Silent):
            await patience.wait(never(), at_most=0.02)
    assert waits == 3


async def test_a_sign_of_life_starts_it_anew() -> None:
    patience = Patience(0.02)
    with pytest.raises(Silent):
        await patience.wait(never())
    patience.renew()
    assert not patience.is_over


async def test_time_in_which_nobody_waits_does_not_count() -> None:
    patience = Patience(0.05)
    await asyncio.sleep(0.1)
    assert not patience.is_over


async def test_the_time_limit_of_somebody_else_stays_theirs() -> None:
    async def impatient() -> None:
        async with asyncio.timeout(0.01):
            await never()

    with pytest.raises(TimeoutError):
        await Patience(60).wait(impatient())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await Patience(60).wait(never())


async def test_a_stop_goes_through() -> None:
    task = asyncio.create_task(Patience(60).wait(never()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
