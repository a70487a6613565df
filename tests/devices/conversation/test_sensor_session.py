"""Scripts with a continuous glucose sensor: its session's start, its records, its end.

The start by hand from CGM Session Start Time: Date Time, time zone (0x80 not known), daylight
saving (0xFF not known). Status from CGM Status: minutes (2), three octets; bit 0 is "stopped".
"""

from dataclasses import replace

import pytest

from devices.conversation import (
    Command,
    Connected,
    Conversation,
    Disconnected,
    Keep,
    Moment,
    NoteEvent,
    NoteSequence,
    Notified,
    Read,
    ReadValue,
    Subscribe,
    Subscribed,
    WriteValue,
    Written,
)
from devices.gatt.e2e_crc import with_crc
from tests.devices.conversation.fix_script import (
    ALL_SENSOR,
    SENSOR,
    at,
    done,
    play,
    sensor_record,
)

BEGUN = bytes((0xEA, 0x07, 11, 15, 9, 30, 0, 0x80, 0xFF))
OTHER = bytes((0xEA, 0x07, 11, 22, 7, 0, 0, 0x80, 0xFF))
NOW = bytes((0xEA, 0x07, 11, 22, 8, 0, 0, 0x80, 0xFF))
UNKNOWN = bytes(7) + b"\x80\xff"
NO_START = NoteEvent("session_unknown", "the sensor does not say when it was started")
COUNT_ALL, REPORT_ALL = b"\x04\x01", b"\x01\x01"


def ask(raw: bytes) -> WriteValue:
    return WriteValue("2A52", raw)


def counted(number: int) -> Notified:
    return Notified("2A52", b"\x05\x00" + number.to_bytes(2, "little"))


def answered(result: int, request: int = 1) -> Notified:
    return Notified("2A52", bytes((6, 0, request, result)))


def subscribed(conversation: Conversation) -> list[Command]:
    return play(conversation, Subscribed("2AA7", ok=True), Subscribed("2A52", ok=True))


def begun(
    last: int | None = None, proof: bytes | None = None
) -> tuple[Conversation, list[Command]]:
    """A conversation that knows the session, and what it asked for after subscribing."""
    conversation = Conversation(SENSOR, last, proof=proof)
    play(conversation, Connected(ALL_SENSOR, bonded=True), Read("2AAA", BEGUN))
    return conversation, subscribed(conversation)[1:]


def test_the_start_is_kept_before_any_record_is_asked_for() -> None:
    conversation = Conversation(SENSOR)
    assert play(conversation, Connected(ALL_SENSOR | {"2AA9"}, bonded=True)) == [ReadValue("2AAA")]
    assert play(conversation, Read("2AAA", BEGUN)) == [Keep("2AAA", BEGUN), ReadValue("2AA9")]
    status = b"\x10\x00\x00\x00\x00"
    assert play(conversation, Read("2AA9", status)) == [Keep("2AA9", status), Subscribe("2AA7")]
    assert subscribed(conversation) == [Subscribe("2A52"), ask(COUNT_ALL)]


def test_a_start_that_the_profile_reads_as_well_is_read_once() -> None:
    conversation = Conversation(replace(SENSOR, reads=("2AAA", "2A19")))
    commands = play(
        conversation, Connected(ALL_SENSOR | {"2A19"}, bonded=True), Read("2AAA", BEGUN)
    )
    assert commands == [ReadValue("2AAA"), Keep("2AAA", BEGUN), Subscribe("2AA7")]
    # The battery waits until every record is there: unanswered, it would stand before the rest.
    assert subscribed(conversation) == [Subscribe("2A52"), ask(COUNT_ALL)]
    assert play(conversation, counted(1), done(), Notified("2AA7", sensor_record(5))) == [
        ask(REPORT_ALL)
    ]
    assert play(conversation, answered(1)) == [
        NoteSequence("2AA7", 5, BEGUN),
        ReadValue("2A19"),
    ]


def test_records_of_the_same_session_go_on_after_the_last_minute() -> None:
    conversation, asked = begun(100, BEGUN)
    assert asked == [ask(b"\x04\x03\x01\x65\x00")]
    assert play(conversation, counted(2)) == [ask(b"\x01\x03\x01\x65\x00")]
    records = [Notified("2AA7", sensor_record(minute)) for minute in (105, 110)]
    assert play(conversation, *records) == []
    assert play(conversation, answered(1)) == [NoteSequence("2AA7", 110, BEGUN)]


def test_no_later_minute_in_the_same_session_is_nothing_new() -> None:
    conversation, _ = begun(100, BEGUN)
    assert play(conversation, counted(0)) == []
    assert play(conversation, Disconnected()) == []


@pytest.mark.parametrize("proof", [OTHER, None])
def test_another_session_is_read_from_its_beginning(proof: bytes | None) -> None:
    _, asked = begun(100, proof)
    assert asked == [NoteSequence("2AA7", None), ask(COUNT_ALL)]


@pytest.mark.parametrize(
    ("last", "minutes", "noted"),
    [
        (100, [105, 110, 115], 115),
        # 180 is a live value amid the stored ones.
        (100, [105, 180, 110], 110),
        (100, [180], None),
        (None, [5, 10, 15], 15),
        (None, [5, 10], None),
        (None, [180, 5, 10], None),
        (None, [5, 180, 10], 10),
    ],
)
def test_a_broken_link_is_gone_on_from_where_the_step_was_kept(
    last: int | None, minutes: list[int], noted: int | None
) -> None:
    conversation, _ = begun(last, BEGUN)
    play(conversation, counted(99))
    play(conversation, *(Notified("2AA7", sensor_record(minute)) for minute in minutes))
    expected = [] if noted is None else [NoteSequence("2AA7", noted, BEGUN)]
    assert play(conversation, Disconnected()) == expected


def test_several_records_in_one_value_are_several() -> None:
    conversation, _ = begun(100, BEGUN)
    play(conversation, counted(3))
    both = sensor_record(105) + sensor_record(110)
    assert play(conversation, Notified("2AA7", both)) == []
    # A third one cut short: its minute stands, what came before counts.
    assert play(conversation, Notified("2AA7", sensor_record(115) + b"\x06\x00")) == []
    assert play(conversation, answered(1)) == [NoteSequence("2AA7", 115, BEGUN)]


def test_a_sensor_that_does_not_know_the_time_is_told_it_once() -> None:
    conversation = Conversation(SENSOR)
    play(conversation, Connected(ALL_SENSOR, bonded=True))
    assert play(conversation, Read("2AAA", UNKNOWN)) == [
        WriteValue("2AAA", NOW),
        ReadValue("2AAA"),
    ]
    assert play(conversation, Written("2AAA", ok=True)) == []
    assert play(conversation, Read("2AAA", NOW)) == [Keep("2AAA", NOW), Subscribe("2AA7")]
    assert subscribed(conversation)[-1] == ask(COUNT_ALL)


def test_a_start_with_a_checksum_is_written_with_one() -> None:
    conversation = Conversation(SENSOR)
    play(conversation, Connected(ALL_SENSOR, bonded=True))
    commands = play(conversation, Read("2AAA", with_crc(UNKNOWN)))
    assert commands[0] == WriteValue("2AAA", with_crc(NOW))


@pytest.mark.parametrize("raw", [UNKNOWN, None, b"\x01"])
def test_without_a_start_only_live_values_are_taken(raw: bytes | None) -> None:
    conversation = Conversation(SENSOR, 100, proof=BEGUN)
    play(conversation, Connected(ALL_SENSOR, bonded=True))
    commands = play(conversation, Read("2AAA", raw))
    if commands[0] != NO_START:
        commands = play(conversation, Written("2AAA", ok=False), Read("2AAA", UNKNOWN))
    assert commands == [NO_START, Subscribe("2AA7")]
    assert subscribed(conversation) == [Subscribe("2A52")]
    assert play(conversation, Notified("2AA7", sensor_record(5))) == []
    assert conversation.values == 1


def test_who_does_not_know_the_time_tells_none() -> None:
    conversation = Conversation(SENSOR)
    play(conversation, Connected(ALL_SENSOR, bonded=True))
    unknown = Moment(100.0, None)
    assert conversation.handle(Read("2AAA", UNKNOWN), unknown)[0] == NO_START


def test_a_sensor_without_a_start_is_asked_for_nothing() -> None:
    conversation = Conversation(SENSOR)
    play(conversation, Connected(ALL_SENSOR - {"2AAA"}, bonded=True))
    assert subscribed(conversation) == [Subscribe("2A52"), NO_START]


@pytest.mark.parametrize(
    ("raw", "noted"),
    [
        (
            b"\x10\x00\x01\x00\x00",
            [
                Keep("2AA9", b"\x10\x00\x01\x00\x00"),
                NoteEvent("sensor_stopped", "the sensor says that its session has ended"),
            ],
        ),
        (b"\x10\x00\x02\x00\x00", [Keep("2AA9", b"\x10\x00\x02\x00\x00")]),
        (b"\x10", []),
        (None, []),
    ],
)
def test_a_sensor_whose_session_has_ended_is_told_of(
    raw: bytes | None, noted: list[Command]
) -> None:
    conversation = Conversation(SENSOR)
    play(conversation, Connected(ALL_SENSOR | {"2AA9"}, bonded=True), Read("2AAA", BEGUN))
    assert play(conversation, Read("2AA9", raw)) == [*noted, Subscribe("2AA7")]


def test_time_goes_on_while_the_start_is_asked_for() -> None:
    conversation = Conversation(SENSOR)
    conversation.handle(Connected(ALL_SENSOR, bonded=True), at())
    write, _ = conversation.handle(Read("2AAA", UNKNOWN), at(59))
    assert write == WriteValue("2AAA", bytes((0xEA, 0x07, 11, 22, 8, 0, 59, 0x80, 0xFF)))
