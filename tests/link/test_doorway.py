"""Connections that have shown nothing yet: how many, and whose turn it is."""

from __future__ import annotations

import asyncio

import pytest

from sylvite.link.doorway import IDLE_S, Doorway


class Visitor:
    def __init__(self, door: Doorway, address: str = "10.0.0.1") -> None:
        self.address = address
        self.steps, self.is_away = 0, False
        self._door = door

    def step(self) -> bool:
        self.steps += 1
        return True

    def turn_away(self) -> None:
        self.is_away = True
        self._door.leave(self)


@pytest.fixture
def door() -> Doorway:
    return Doorway(line_max=4, per_address_max=3, half_open_max=2)


def test_there_is_room_for_so_many_and_no_more(door: Doorway) -> None:
    visitors = [Visitor(door, f"10.0.0.{number}") for number in range(5)]
    assert [door.enter(visitor, 0.0) for visitor in visitors] == [True] * 4 + [False]
    door.leave(visitors[0])
    assert door.enter(visitors[4], 0.0)


def test_one_address_has_a_part_of_the_room_only(door: Doorway) -> None:
    assert [door.enter(Visitor(door), 0.0) for _ in range(4)] == [True] * 3 + [False]
    assert door.enter(Visitor(door, "10.0.0.2"), 0.0)


def test_who_says_nothing_makes_room_for_who_comes(door: Doorway) -> None:
    """Half-open connections that are held open on purpose do not lock anybody out."""
    idle = [Visitor(door, f"10.0.0.{number}") for number in range(4)]
    for number, visitor in enumerate(idle):
        door.enter(visitor, float(number))
    assert door.enter(Visitor(door, "10.0.0.9"), IDLE_S)
    assert [visitor.is_away for visitor in idle] == [True, False, False, False]
    assert len(door) == 4


def test_who_has_said_something_is_not_sent_away_for_others(door: Doorway) -> None:
    busy = [Visitor(door, f"10.0.0.{number}") for number in range(4)]
    for visitor in busy:
        door.enter(visitor, 0.0)
        door.heard(visitor)
    assert not door.enter(Visitor(door, "10.0.0.9"), 100.0)


async def turns(door: Doorway, count: int) -> None:
    """Let so many steps be made."""
    task = asyncio.create_task(door.serve())
    for _ in range(2 * count + 2):
        await asyncio.sleep(0)
    task.cancel()


def test_what_was_begun_is_finished_first(door: Doorway) -> None:
    async def scene() -> None:
        first, second = Visitor(door), Visitor(door)
        for visitor in (first, second):
            door.enter(visitor, 0.0)
        door.heard(first)
        await turns(door, 1)
        door.heard(second)
        door.heard(first)
        task = asyncio.create_task(door.serve())
        await asyncio.sleep(0)
        assert (first.steps, second.steps) == (2, 0)
        await asyncio.sleep(0)
        assert (first.steps, second.steps) == (2, 1)
        task.cancel()

    asyncio.run(scene())


def test_no_more_handshakes_are_begun_than_may_be_half_open(door: Doorway, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others wait in the line; one that is half open and says nothing more makes room for the next."""
    monkeypatch.setattr("sylvite.link.doorway.FULL_S", 0.0)

    async def scene() -> None:
        visitors = [Visitor(door) for _ in range(3)]
        for visitor in visitors:
            door.enter(visitor, 0.0)
            door.heard(visitor)
        await turns(door, 6)
        assert [visitor.steps for visitor in visitors] == [1, 1, 0]
        monkeypatch.setattr("sylvite.link.doorway.IDLE_S", 0.0)
        await turns(door, 6)
        assert [visitor.is_away for visitor in visitors] == [True, False, False]
        assert visitors[2].steps == 1

    asyncio.run(scene())


def test_between_two_turns_everybody_else_has_one() -> None:
    """What is done for strangers is done in pieces: a minion that is let in waits for one of them, not for all."""
    door = Doorway(line_max=1000, per_address_max=1000, half_open_max=1000)

    async def scene() -> None:
        visitors = [Visitor(door) for _ in range(100)]
        for visitor in visitors:
            door.enter(visitor, 0.0)
            door.heard(visitor)
        task = asyncio.create_task(door.serve())
        for others in range(50):
            await asyncio.sleep(0)
            assert sum(visitor.steps for visitor in visitors) <= others + 1
        task.cancel()

    asyncio.run(scene())


def test_who_is_gone_has_no_turn(door: Doorway) -> None:
    async def scene() -> None:
        gone, here = Visitor(door), Visitor(door)
        for visitor in (gone, here):
            door.enter(visitor, 0.0)
            door.heard(visitor)
        door.leave(gone)
        await turns(door, 2)
        assert (gone.steps, here.steps) == (0, 1)

    asyncio.run(scene())
