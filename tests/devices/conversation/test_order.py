"""Scripted conversations: every order of events, no radio."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from devices.conversation import (
    Command,
    Connected,
    Conversation,
    Disconnected,
    Ending,
    Event,
    HangUp,
    Keep,
    Moment,
    NoteClock,
    Notified,
    Pair,
    Paired,
    Read,
    ReadValue,
    Subscribe,
    Subscribed,
    Tick,
    WriteValue,
    Written,
)
from devices.profiles import PROFILES, Profile

START = datetime(2026, 11, 22, 8, 0, 0)  # noqa: DTZ001 - the local time of a device
A_AND_D = PROFILES["a-and-d-blood-pressure"]
ALL = frozenset({"2A35", "2A49", "2A08", "2A19"})
# 22 November 2026, 08:05:00: five minutes ahead. Bytes by hand from the Date Time definition.
AHEAD_RAW = bytes((0xEA, 0x07, 11, 22, 8, 5, 0))
NOW_RAW = bytes((0xEA, 0x07, 11, 22, 8, 0, 0))
VALUE = bytes.fromhex("00800050006000")


def at(seconds: float = 0.0) -> Moment:
    return Moment(100.0 + seconds, START + timedelta(seconds=seconds))


def run(conversation: Conversation, *events: Event) -> list[Command]:
    return [command for event in events for command in conversation.handle(event, at())]


def begun(profile: Profile = A_AND_D, *, bonded: bool = True) -> Conversation:
    """A conversation that has come to waiting for values."""
    conversation = Conversation(profile)
    run(conversation, Connected(frozenset(profile.measurements), bonded=bonded))
    if profile.must_bond and not bonded:
        run(conversation, Paired(ok=True))
    run(conversation, *(Subscribed(one, ok=True) for one in profile.measurements))
    return conversation


def test_a_bonding_cuff_is_touched_in_one_order_only() -> None:
    conversation = Conversation(A_AND_D)
    assert run(conversation, Connected(ALL, bonded=False)) == [Pair()]
    assert run(conversation, Paired(ok=True)) == [ReadValue("2A08")]
    assert run(conversation, Read("2A08", AHEAD_RAW)) == [
        Keep("2A08", AHEAD_RAW),
        NoteClock(300.0),
        WriteValue("2A08", NOW_RAW),
    ]
    assert run(conversation, Written("2A08", ok=True)) == [Subscribe("2A35")]
    assert run(conversation, Subscribed("2A35", ok=True)) == [ReadValue("2A19")]
    assert run(conversation, Read("2A19", b"\x50")) == [Keep("2A19", b"\x50")]
    assert run(conversation, Notified("2A35", VALUE), Disconnected()) == []
    assert conversation.ending is Ending.DEVICE_HUNG_UP
    assert conversation.values == 1
    assert conversation.is_over


def test_who_does_not_know_the_time_sets_no_clock() -> None:
    unknown = Moment(100.0, None)
    conversation = Conversation(A_AND_D)
    assert conversation.handle(Connected(ALL, bonded=True), unknown) == (ReadValue("2A08"),)
    # What the device says is kept: when our own time is known, it tells how wrong the device was.
    assert conversation.handle(Read("2A08", AHEAD_RAW), unknown) == (
        Keep("2A08", AHEAD_RAW),
        Subscribe("2A35"),
    )


def test_a_bonded_device_is_not_paired_again() -> None:
    assert run(Conversation(A_AND_D), Connected(ALL, bonded=True)) == [ReadValue("2A08")]


def test_a_device_without_clock_or_battery_is_subscribed_to_at_once() -> None:
    conversation = Conversation(PROFILES["sig-thermometer"])
    assert run(conversation, Connected(frozenset({"2A1C"}), bonded=False)) == [Subscribe("2A1C")]


def test_a_profile_without_clock_asks_for_none() -> None:
    conversation = Conversation(replace(PROFILES["sig-thermometer"], clock=None, reads=()))
    assert run(conversation, Connected(frozenset({"2A1C", "2A08"}), bonded=False)) == [
        Subscribe("2A1C")
    ]


def test_the_clock_written_is_the_time_when_it_is_written() -> None:
    conversation = Conversation(A_AND_D)
    conversation.handle(Connected(ALL, bonded=True), at())
    commands = conversation.handle(Read("2A08", None), at(5))
    assert commands == (WriteValue("2A08", bytes((0xEA, 0x07, 11, 22, 8, 0, 5))),)


@pytest.mark.parametrize(
    ("raw", "noted"),
    [
        (AHEAD_RAW, [Keep("2A08", AHEAD_RAW), NoteClock(300.0)]),
        (bytes(7), [Keep("2A08", bytes(7)), NoteClock(None)]),
        (NOW_RAW, [NoteClock(0.0)]),
        (b"\x00", []),
        (None, []),
    ],
)
def test_the_offset_is_noted_before_the_clock_is_corrected(
    raw: bytes | None, noted: list[Command]
) -> None:
    conversation = Conversation(A_AND_D)
    run(conversation, Connected(ALL, bonded=True))
    assert run(conversation, Read("2A08", raw)) == [*noted, WriteValue("2A08", NOW_RAW)]


def test_a_clock_that_cannot_be_set_does_not_cost_the_value() -> None:
    conversation = Conversation(A_AND_D)
    run(conversation, Connected(ALL, bonded=True), Read("2A08", AHEAD_RAW))
    assert run(conversation, Written("2A08", ok=False)) == [Subscribe("2A35")]


def test_a_clock_that_is_not_answered_costs_nothing_but_its_own_time() -> None:
    conversation = Conversation(A_AND_D)
    run(conversation, Connected(ALL, bonded=True))
    unanswered = Read("2A08", None, is_answered=False)
    assert run(conversation, unanswered) == [Subscribe("2A35")], "nothing else would be answered"
    assert run(conversation, Subscribed("2A35", ok=True), Tick()) == []
    run(conversation, Notified("2A35", VALUE))
    assert conversation.values == 1


def test_after_a_read_that_is_not_answered_nothing_else_is_read() -> None:
    conversation = Conversation(replace(A_AND_D, reads=("2A49", "2A19")))
    run(conversation, Connected(frozenset({"2A35", "2A49", "2A19"}), bonded=True))
    assert run(conversation, Subscribed("2A35", ok=True)) == [ReadValue("2A49")]
    # A value comes meanwhile, and is counted; there is one read at a time.
    assert run(conversation, Notified("2A35", VALUE), Tick()) == []
    assert run(conversation, Read("2A49", None, is_answered=False), Tick()) == []
    assert conversation.values == 1


def test_a_read_that_is_refused_is_followed_by_the_next() -> None:
    conversation = Conversation(replace(A_AND_D, reads=("2A49", "2A19")))
    run(conversation, Connected(frozenset({"2A35", "2A49", "2A19"}), bonded=True))
    run(conversation, Subscribed("2A35", ok=True))
    assert run(conversation, Read("2A49", None)) == [ReadValue("2A19")]


def test_what_no_value_needs_does_not_lengthen_the_link() -> None:
    conversation = Conversation(A_AND_D)
    run(conversation, Connected(frozenset({"2A35", "2A19"}), bonded=True))
    run(conversation, Subscribed("2A35", ok=True))
    conversation.handle(Read("2A19", b"\x50"), at(8))
    assert conversation.handle(Tick(), at(A_AND_D.quiet_s)) == (HangUp(),)


@pytest.mark.parametrize(
    ("events", "ending"),
    [
        ([Connected(frozenset({"2A08"}), bonded=True)], Ending.SERVICES_INCOMPLETE),
        ([Connected(ALL, bonded=False), Paired(ok=False)], Ending.PAIRING_FAILED),
        (
            [Connected(frozenset({"2A35"}), bonded=True), Subscribed("2A35", ok=False)],
            Ending.SUBSCRIPTION_REFUSED,
        ),
    ],
)
def test_what_makes_a_link_useless_ends_it(events: list[Event], ending: Ending) -> None:
    conversation = Conversation(A_AND_D)
    assert run(conversation, *events)[-1] == HangUp()
    assert conversation.ending is ending
    assert run(conversation, Tick(), Paired(ok=True)) == []
    run(conversation, Disconnected())
    assert conversation.is_over
    assert conversation.ending is ending


def test_a_link_lost_before_the_subscription_is_not_a_hang_up() -> None:
    conversation = Conversation(A_AND_D)
    run(conversation, Connected(ALL, bonded=True), Disconnected())
    assert conversation.ending is Ending.LINK_LOST


def test_a_value_before_the_subscription_is_answered_counts() -> None:
    conversation = Conversation(A_AND_D)
    run(conversation, Connected(ALL, bonded=True), Notified("2A35", VALUE))
    assert conversation.values == 1


def test_a_value_after_the_end_counts_and_asks_for_nothing() -> None:
    conversation = begun()
    run(conversation, Disconnected())
    assert run(conversation, Notified("2A35", VALUE)) == []
    assert conversation.values == 1


def test_a_value_that_could_not_be_kept_ends_the_link_once() -> None:
    conversation = begun()
    lost = Notified("2A35", VALUE, kept=False)
    assert run(conversation, lost, lost) == [HangUp()]
    assert conversation.ending is Ending.NOT_KEPT
    assert conversation.values == 0


@pytest.mark.parametrize(
    "name",
    sorted(name for name, one in PROFILES.items() if one.records is None and one.vendor is None),
)
def test_quiet_is_counted_from_the_last_value(name: str) -> None:
    profile = PROFILES[name]
    conversation = begun(profile, bonded=False)
    assert conversation.handle(Tick(), at(profile.quiet_s - 0.1)) == ()
    heard_s = profile.quiet_s - 0.1
    conversation.handle(Notified(profile.measurements[0], VALUE), at(heard_s))
    quiet_s = profile.quiet_after_s or profile.quiet_s
    ends_s = min(heard_s + quiet_s, profile.link_max_s)
    assert conversation.handle(Tick(), at(ends_s - 0.1)) == ()
    assert conversation.handle(Tick(), at(ends_s)) == (HangUp(),)
    is_longest = ends_s == profile.link_max_s
    assert conversation.ending is (Ending.TOO_LONG if is_longest else Ending.QUIET)


def test_a_device_that_has_spoken_is_waited_for_less_long() -> None:
    profile = PROFILES["sig-oximeter"]
    conversation = begun(profile, bonded=False)
    assert conversation.handle(Tick(), at(60)) == ()
    conversation.handle(Notified("2A5E", VALUE), at(61))
    assert conversation.handle(Tick(), at(74)) == (HangUp(),)
    assert conversation.ending is Ending.QUIET


def test_a_device_that_sends_without_end_is_hung_up_on() -> None:
    conversation = begun()
    for second in range(int(A_AND_D.link_max_s)):
        assert conversation.handle(Notified("2A35", VALUE), at(second)) == ()
        assert conversation.handle(Tick(), at(second)) == ()
    assert conversation.handle(Tick(), at(A_AND_D.link_max_s)) == (HangUp(),)
    assert conversation.ending is Ending.TOO_LONG


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda one: one.name)
def test_a_profile_says_where_its_facts_are_from_and_what_it_was_tried_on(
    profile: Profile,
) -> None:
    assert profile.source
    assert profile.tried_on == (), "a device that was tried belongs into the file's docstring"
    assert PROFILES[profile.name] is profile


def test_a_profile_checks_its_bounds() -> None:
    with pytest.raises(AssertionError, match="within link_max_s"):
        replace(A_AND_D, quiet_s=61.0)
    with pytest.raises(AssertionError, match="listens to something"):
        replace(A_AND_D, measurements=())
