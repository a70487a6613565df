"""Scripts with devices that keep their users apart: consent, and values that are nobody's.

Requests and answers by hand from the User Control Point: 0x02 is consent with user index and code
(2 bytes), 0x20 the answer with request and result.
"""

from dataclasses import replace

import pytest

from devices.conversation import (
    Command,
    Connected,
    Consent,
    Conversation,
    Ending,
    Event,
    HangUp,
    NoteEvent,
    Notified,
    Subscribe,
    Subscribed,
    Tick,
    WriteValue,
    Written,
)
from devices.gatt import weight
from devices.gatt.weight import Weight
from devices.profiles.profile import Records
from tests.devices.conversation.fix_script import METER, PLAIN, at, glucose_record, play

SCALE = replace(PLAIN, name="scale", measurements=("2A9D",), optional=("2A9C",), has_users=True)
THERE = frozenset({"2A9D", "2A9C", "2A9F"})
CODE = WriteValue("2A9F", bytes((0x02, 1, 0xD2, 0x04)))
GIVEN = Notified("2A9F", bytes((0x20, 0x02, 1)))
MISSING = NoteEvent("consent_missing", "no user and code are stored for this device")
NOBODY = NoteEvent("unknown_user", "the device does not say whose value it is")


FIRST_USER = Consent(1, 1234)


def asked(consent: Consent | None = FIRST_USER) -> tuple[Conversation, list[Command]]:
    conversation = Conversation(SCALE, consent=consent)
    commands = play(
        conversation,
        Connected(THERE, bonded=True),
        *(Subscribed(one, ok=True) for one in ("2A9D", "2A9C", "2A9F")),
    )
    assert commands[:3] == [Subscribe("2A9D"), Subscribe("2A9C"), Subscribe("2A9F")]
    return conversation, commands[3:]


def weighed(user: int | None) -> Notified:
    return Notified("2A9D", weight.encode(Weight(70.0, user=user)))


def test_the_code_is_given_after_subscribing() -> None:
    conversation, commands = asked()
    assert commands == [CODE]
    assert play(conversation, Written("2A9F", ok=True), GIVEN) == []
    assert play(conversation, weighed(1)) == []
    assert (conversation.values, conversation.ending) == (1, None)


def test_without_a_code_that_is_said_and_values_are_still_taken() -> None:
    conversation, commands = asked(None)
    assert commands == [MISSING]
    assert play(conversation, weighed(2), GIVEN) == []
    assert conversation.values == 1


@pytest.mark.parametrize(
    ("events", "why"),
    [
        ([Notified("2A9F", bytes((0x20, 0x02, 5)))], "user 1: result 5"),
        ([Written("2A9F", ok=False)], "user 1: not accepted"),
        ([Written("2A9F", ok=False), GIVEN], "user 1: not accepted"),
    ],
)
def test_a_refused_code_is_told_once(events: list[Event], why: str) -> None:
    conversation, _ = asked()
    assert play(conversation, *events) == [NoteEvent("consent_refused", why)]
    assert play(conversation, *events, Tick()) == []


@pytest.mark.parametrize(
    "stray",
    [b"", bytes((0x20, 0x04, 1, 3)), bytes((0x02, 1, 0, 0))],
    ids=["empty", "answer to a list", "a request"],
)
def test_an_answer_to_something_else_settles_nothing(stray: bytes) -> None:
    conversation, _ = asked()
    assert play(conversation, Notified("2A9F", stray)) == []
    assert play(conversation, Tick(), seconds=29.9) == []
    assert play(conversation, Tick(), seconds=30) == [
        NoteEvent("consent_refused", "user 1: no answer")
    ]
    assert play(conversation, Tick(), seconds=42) == [HangUp()]
    assert conversation.ending is Ending.QUIET


@pytest.mark.parametrize("consent", [Consent(1, 1234), None])
def test_records_are_asked_for_with_consent_only(consent: Consent | None) -> None:
    profile = replace(METER, has_users=True, records=Records("2A18"))
    conversation = Conversation(profile, consent=consent)
    play(
        conversation,
        Connected(frozenset({"2A18", "2A52", "2A9F"}), bonded=True),
        *(Subscribed(one, ok=True) for one in ("2A18", "2A9F", "2A52")),
    )
    expected = [] if consent is None else [WriteValue("2A52", b"\x04\x01")]
    assert play(conversation, GIVEN) == expected
    assert play(conversation, GIVEN, Written("2A9F", ok=True)) == []


def test_a_device_that_demands_no_code_is_given_none() -> None:
    conversation = Conversation(SCALE, consent=Consent(1, 1234))
    commands = play(
        conversation,
        Connected(THERE - {"2A9F", "2A9C"}, bonded=True),
        Subscribed("2A9D", ok=True),
        GIVEN,
    )
    assert commands == [Subscribe("2A9D")]


@pytest.mark.parametrize("user", [255, None])
def test_a_value_of_nobody_is_kept_and_told_of_once_a_link(user: int | None) -> None:
    conversation, _ = asked()
    play(conversation, GIVEN)
    assert play(conversation, weighed(user)) == [NOBODY]
    assert play(conversation, weighed(user)) == []
    assert conversation.values == 2


@pytest.mark.parametrize(
    "value", [weighed(3), Notified("2A9D", b"\x01"), Notified("2A9F", b"\x01")]
)
def test_a_value_of_somebody_or_that_cannot_be_read_is_not_of_nobody(value: Notified) -> None:
    conversation, _ = asked()
    play(conversation, GIVEN)
    assert play(conversation, value) == []


def test_a_device_without_users_has_values_of_nobody() -> None:
    conversation = Conversation(METER)
    conversation.handle(Connected(frozenset({"2A18"}), bonded=True), at())
    assert play(conversation, Notified("2A18", glucose_record(1))) == []
