"""Listening and enrolling share the adapter, and neither keeps the other out."""

import asyncio

import pytest

from gateway.ble.turn import Turn


async def steps() -> None:
    """Let every task that can go on do so."""
    for _ in range(10):
        await asyncio.sleep(0)


class Listener:
    """Listens as the gateway does: gives up when enrolling is wanted, then asks again."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.is_listening = False
        self.times = 0

    async def run(self) -> None:
        while True:
            async with self.turn.listening():
                self.is_listening, self.times = True, self.times + 1
                try:
                    await self.turn.wanted.wait()
                finally:
                    self.is_listening = False


async def test_enrolling_waits_for_listening_to_let_go_and_gives_back() -> None:
    turn = Turn()
    listener = Listener(turn)
    task = asyncio.create_task(listener.run())
    await steps()
    states = [listener.is_listening]
    async with turn.enrolling():
        assert turn.wanted.is_set()
        states.append(listener.is_listening)
        await steps()
        states.append(listener.is_listening)
    await steps()
    assert not turn.wanted.is_set()
    assert (states, listener.is_listening, listener.times) == ([True, False, False], True, 2)
    task.cancel()
    await steps()
    async with turn.enrolling():
        pass


async def test_a_link_under_way_is_let_come_to_its_end() -> None:
    turn = Turn()
    entered = asyncio.Event()

    async def enrol() -> None:
        async with turn.enrolling():
            entered.set()

    async with turn.listening():
        task = asyncio.create_task(enrol())
        await steps()
        assert turn.wanted.is_set()
        assert not entered.is_set()
    await task
    assert not turn.wanted.is_set()


async def test_enrolments_go_one_after_another_before_listening_goes_on() -> None:
    turn = Turn()
    listener = Listener(turn)
    task = asyncio.create_task(listener.run())
    await steps()
    inside: list[int] = []
    order: list[int] = []

    async def enrol(number: int) -> None:
        async with turn.enrolling():
            inside.append(number)
            order.append(number)
            assert len(inside) == 1
            assert not listener.is_listening
            await steps()
            inside.remove(number)

    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(enrol(number))
    await steps()
    assert (order, listener.is_listening, listener.times) == ([0, 1, 2], True, 2)
    task.cancel()


async def test_one_who_gives_up_waiting_holds_nobody_up() -> None:
    turn = Turn()
    async with turn.listening():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0), turn.enrolling():
                raise AssertionError("listening had not let go")
        assert not turn.wanted.is_set()
    async with asyncio.timeout(5), turn.enrolling():
        waiting = asyncio.create_task(Listener(turn).run())
        await steps()
        waiting.cancel()
        await steps()
    async with asyncio.timeout(5), turn.listening():
        assert not turn.wanted.is_set()
