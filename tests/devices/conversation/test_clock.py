"""Scripts with a device's clock: Date Time or Current Time, unset, nonsense, not to be set."""

from dataclasses import replace
from datetime import timedelta

import pytest

from devices.conversation import (
    Command,
    Connected,
    Conversation,
    Keep,
    NoteClock,
    NoteEvent,
    Read,
    ReadValue,
    Subscribe,
    WriteValue,
    Written,
)
from tests.devices.conversation.fix_script import PLAIN, START, at, play

# Bytes by hand: Date Time, day of week (Sunday is 7), 1/256 s, reason (bit 1: external reference).
DATE_TIME = bytes((0xEA, 0x07, 11, 22, 8, 0, 0))
CURRENT_TIME = DATE_TIME + bytes((7, 0, 0b10))
AN_HOUR_BEHIND = bytes((0xEA, 0x07, 11, 22, 7, 0, 0, 7, 0, 0))
NO_SUCH_DAY = AN_HOUR_BEHIND[:7] + bytes((8, 0, 0))
WITH_2A2B = replace(PLAIN, clock="2A2B")
REFUSED = NoteEvent("clock_refused", "a clock that is far off or unset cannot be set")


@pytest.mark.parametrize(
    ("raw", "noted"),
    [
        (AN_HOUR_BEHIND, [Keep("2A2B", AN_HOUR_BEHIND), NoteClock(-3600.0)]),
        (CURRENT_TIME, [NoteClock(0.0)]),
        # Half a second: the fraction is in 1/256 s.
        (DATE_TIME + bytes((7, 128, 0)), [NoteClock(0.5)]),
        (NO_SUCH_DAY, [Keep("2A2B", NO_SUCH_DAY), NoteClock(-3600.0)]),
        (bytes(10), [Keep("2A2B", bytes(10)), NoteClock(None)]),
        (bytes((0xEA, 0x07, 13, 1, 0, 0, 0, 0, 0, 0)), []),
        (DATE_TIME, []),
        (None, []),
    ],
    ids=[
        "behind",
        "right",
        "fraction",
        "no such day of the week",
        "year 0",
        "month 13",
        "too short",
        "refused",
    ],
)
def test_current_time_is_read_noted_and_then_written(
    raw: bytes | None, noted: list[Command]
) -> None:
    conversation = Conversation(WITH_2A2B)
    assert play(conversation, Connected(frozenset({"2A35", "2A2B"}), bonded=True)) == [
        ReadValue("2A2B")
    ]
    assert play(conversation, Read("2A2B", raw)) == [*noted, WriteValue("2A2B", CURRENT_TIME)]
    assert play(conversation, Written("2A2B", ok=True)) == [Subscribe("2A35")]


@pytest.mark.parametrize(("wanted", "there"), [("2A08", "2A2B"), ("2A2B", "2A08")])
def test_the_clock_that_is_there_is_taken(wanted: str, there: str) -> None:
    conversation = Conversation(replace(PLAIN, clock=wanted))
    assert play(conversation, Connected(frozenset({"2A35", there}), bonded=True)) == [
        ReadValue(there)
    ]
    raw = DATE_TIME if there == "2A08" else CURRENT_TIME
    assert play(conversation, Read(there, raw))[-1] == WriteValue(there, raw)


def test_of_two_clocks_only_the_wanted_one_is_touched() -> None:
    conversation = Conversation(WITH_2A2B)
    commands = play(
        conversation,
        Connected(frozenset({"2A35", "2A08", "2A2B"}), bonded=True),
        Read("2A2B", CURRENT_TIME),
        Written("2A2B", ok=True),
    )
    assert not any("2A08" in repr(command) for command in commands)


@pytest.mark.parametrize(
    ("ahead", "noted"),
    [
        (timedelta(0), []),
        (timedelta(seconds=599), []),
        (timedelta(seconds=600), [REFUSED]),
        (-timedelta(days=365), [REFUSED]),
    ],
)
def test_a_clock_that_refuses_to_be_set_is_told_of_where_it_matters(
    ahead: timedelta, noted: list[Command]
) -> None:
    conversation = Conversation(replace(PLAIN, clock="2A08"))
    play(conversation, Connected(frozenset({"2A35", "2A08"}), bonded=True))
    told = START + ahead
    raw = told.year.to_bytes(2, "little") + bytes(
        (told.month, told.day, told.hour, told.minute, told.second)
    )
    play(conversation, Read("2A08", raw))
    assert play(conversation, Written("2A08", ok=False, error=0x80)) == [*noted, Subscribe("2A35")]


def test_an_unset_clock_that_cannot_be_set_is_told_of() -> None:
    conversation = Conversation(replace(PLAIN, clock="2A08"))
    play(conversation, Connected(frozenset({"2A35", "2A08"}), bonded=True), Read("2A08", bytes(7)))
    assert play(conversation, Written("2A08", ok=False)) == [REFUSED, Subscribe("2A35")]


def test_time_that_passes_while_reading_is_in_what_is_written() -> None:
    conversation = Conversation(WITH_2A2B)
    play(conversation, Connected(frozenset({"2A35", "2A2B"}), bonded=True))
    (command,) = conversation.handle(Read("2A2B", None), at(61.5))
    expected = bytes((0xEA, 0x07, 11, 22, 8, 1, 1, 7, 128, 0b10))
    assert command == WriteValue("2A2B", expected)
