"""Scripts with a glucose meter: counting, asking, missing, busy, beginning anew.

Requests and answers by hand from the Record Access Control Point of the GATT Specification
Supplement: op code, operator, filter type, number.
"""

from dataclasses import replace

import pytest

from devices.conversation import (
    Command,
    Connected,
    Conversation,
    Disconnected,
    Ending,
    Event,
    HangUp,
    NoteEvent,
    NoteSequence,
    Notified,
    Subscribe,
    Subscribed,
    Tick,
    WriteValue,
    Written,
)
from devices.conversation.records import FILTERED_MAX
from devices.profiles.profile import Profile, Records
from tests.devices.conversation.fix_script import (
    ALL_METER,
    METER,
    done,
    glucose_record,
    play,
)

COUNT_ALL, REPORT_ALL = b"\x04\x01", b"\x01\x01"
COUNT_FROM_8, REPORT_FROM_8 = b"\x04\x03\x01\x08\x00", b"\x01\x03\x01\x08\x00"
REPORT_LAST, ABORT = b"\x01\x06", b"\x03\x00"
SUCCESS, NO_RECORDS = 1, 6


def ask(raw: bytes) -> WriteValue:
    return WriteValue("2A52", raw)


def counted(number: int) -> Notified:
    return Notified("2A52", b"\x05\x00" + number.to_bytes(2, "little"))


def answered(result: int, request: int = 1) -> Notified:
    return Notified("2A52", bytes((6, 0, request, result)))


def record(number: int, *, epoch: int = 0, kept: bool = True) -> Notified:
    return Notified("2A18", glucose_record(number, epoch=epoch), kept)


def note(number: int, *, epoch: int = 0) -> NoteSequence:
    return NoteSequence("2A18", number, glucose_record(number, epoch=epoch))


def asked(
    last: int | None = None, proof: bytes | None = None, profile: Profile = METER
) -> Conversation:
    """A conversation that has just asked how many records there are."""
    conversation = Conversation(profile, last, proof=proof)
    play(conversation, Connected(ALL_METER, bonded=True))
    play(conversation, Subscribed("2A18", ok=True), Subscribed("2A34", ok=True))
    commands = play(conversation, Subscribed("2A52", ok=True))
    assert commands[-1].characteristic == "2A52"  # type: ignore[union-attr]
    return conversation


def script(conversation: Conversation, *lines: tuple[Event, list[Command]]) -> None:
    """Play line by line: what the meter says, what it must hear next."""
    for number, (event, expected) in enumerate(lines, start=1):
        assert play(conversation, event) == expected, f"line {number}: {event}"


def test_everything_is_subscribed_to_before_anything_is_asked() -> None:
    conversation = Conversation(METER)
    script(
        conversation,
        (Connected(ALL_METER, bonded=True), [Subscribe("2A18")]),
        (Subscribed("2A18", ok=True), [Subscribe("2A34")]),
        (Subscribed("2A34", ok=False), [Subscribe("2A52")]),
        (Subscribed("2A52", ok=True), [ask(COUNT_ALL)]),
    )


def test_a_new_meter_gives_all_it_has() -> None:
    conversation = asked()
    script(
        conversation,
        (done(), []),
        (counted(2), [ask(REPORT_ALL)]),
        (done(), []),
        (record(1), []),
        (Notified("2A34", b"\x00\x01\x00"), []),
        (record(2), []),
        (answered(SUCCESS), [note(2)]),
        (Disconnected(), []),
    )
    assert conversation.ending is Ending.DEVICE_HUNG_UP
    assert conversation.values == 3


def test_records_after_the_last_one_are_asked_for() -> None:
    script(
        asked(7),
        (counted(1), [ask(REPORT_FROM_8)]),
        (record(8), []),
        (answered(SUCCESS), [note(8)]),
    )


def test_the_last_record_is_asked_for_again_where_it_can_prove_the_numbering() -> None:
    script(
        asked(8, glucose_record(8)),
        (counted(2), [ask(REPORT_FROM_8)]),
        (record(8), []),
        (record(9), []),
        (answered(SUCCESS), [note(9)]),
    )


def test_nothing_new_notes_nothing() -> None:
    script(
        asked(8, glucose_record(8)),
        (counted(1), [ask(REPORT_FROM_8)]),
        (record(8), []),
        (answered(SUCCESS), []),
        (Disconnected(), []),
    )


def test_a_meal_added_to_the_last_record_leaves_it_the_same() -> None:
    with_meal = glucose_record(8)
    with_meal = bytes((with_meal[0] | 0x10,)) + with_meal[1:]
    script(
        asked(8, glucose_record(8)),
        (counted(1), [ask(REPORT_FROM_8)]),
        (Notified("2A18", with_meal), []),
        (answered(SUCCESS), []),
    )


@pytest.mark.parametrize("none", [counted(0), answered(NO_RECORDS, request=4)])
def test_an_empty_meter_is_asked_no_further(none: Event) -> None:
    script(asked(), (none, []), (Disconnected(), []))


def test_a_meter_that_counts_from_the_beginning_again_is_read_whole() -> None:
    """Battery change: nothing after number 7, and the last one is number 2."""
    script(
        asked(7),
        (counted(0), [ask(REPORT_LAST)]),
        (record(2, epoch=1), []),
        (
            answered(SUCCESS),
            [
                NoteEvent("numbering_restarted", "the last record is number 2, not 7"),
                NoteSequence("2A18", None),
                ask(COUNT_ALL),
            ],
        ),
        (counted(2), [ask(REPORT_ALL)]),
        (record(1, epoch=1), []),
        (record(2, epoch=1), []),
        (answered(SUCCESS), [note(2, epoch=1)]),
    )


@pytest.mark.parametrize(
    "records", [[8, 9], [9], []], ids=["another number 8", "no number 8", "none at all"]
)
def test_a_new_numbering_that_has_passed_the_old_one_is_found_out(records: list[int]) -> None:
    conversation = asked(8, glucose_record(8))
    play(conversation, counted(len(records) or 1))
    play(conversation, *(record(number, epoch=1) for number in records))
    assert play(conversation, answered(SUCCESS)) == [
        NoteEvent("numbering_restarted", "record 8 is not the one that is kept"),
        NoteSequence("2A18", None),
        ask(COUNT_ALL),
    ]


def test_the_same_number_with_another_record_is_a_new_numbering() -> None:
    conversation = asked(8, glucose_record(8))
    play(conversation, counted(0), record(8, epoch=1))
    assert play(conversation, answered(SUCCESS))[1:] == [
        NoteSequence("2A18", None),
        ask(COUNT_ALL),
    ]


@pytest.mark.parametrize(
    "lines",
    [
        [(record(7), []), (answered(SUCCESS), [])],
        [(answered(NO_RECORDS), [])],
        [(answered(SUCCESS), [])],
        # It can neither filter nor give the last one: then all, to be sure.
        [(answered(4), [ask(COUNT_ALL)])],
        # It has a later one, whatever it said before.
        [(record(9), []), (answered(SUCCESS), [ask(COUNT_ALL)])],
    ],
    ids=["the same", "emptied", "says nothing", "no such operator", "a later one"],
)
def test_after_no_new_records_the_last_one_is_compared(
    lines: list[tuple[Event, list[Command]]],
) -> None:
    script(asked(7), (counted(0), [ask(REPORT_LAST)]), *lines)


@pytest.mark.parametrize("result", [3, 4, 5, 9])
def test_a_meter_that_cannot_filter_is_asked_for_all(result: int) -> None:
    script(
        asked(7),
        (answered(result, request=4), [ask(COUNT_ALL)]),
        (counted(1), [ask(REPORT_ALL)]),
        (record(7), []),
        (answered(SUCCESS), []),
    )


def test_a_meter_known_not_to_filter_is_asked_for_all_at_once() -> None:
    profile = replace(METER, records=Records("2A18", can_filter=False))
    conversation = Conversation(profile, 7)
    commands = play(
        conversation,
        Connected(ALL_METER, bonded=True),
        *(Subscribed(one, ok=True) for one in ("2A18", "2A34", "2A52")),
    )
    assert commands[-1] == ask(COUNT_ALL)


def test_a_meter_that_cannot_count_is_asked_all_the_same() -> None:
    script(
        asked(7),
        (answered(2, request=4), [ask(REPORT_FROM_8)]),
        (record(8), []),
        (answered(SUCCESS), [note(8)]),
    )


def test_a_report_that_is_refused_is_told_and_the_link_goes_on() -> None:
    conversation = asked()
    script(
        conversation,
        (counted(3), [ask(REPORT_ALL)]),
        (answered(2), [NoteEvent("records_refused", "stored records: result 2")]),
        (Tick(), []),
    )
    assert conversation.ending is None


def test_missing_records_are_asked_for_once_more_and_then_told() -> None:
    missing = NoteEvent("records_missing", "1 of 3 records")
    script(
        asked(),
        (counted(3), [ask(REPORT_ALL)]),
        (record(1), []),
        (record(3), []),
        (answered(SUCCESS), [ask(REPORT_ALL)]),
        (record(1), []),
        (record(3), []),
        (answered(SUCCESS), [missing, note(3)]),
    )


def test_a_record_that_comes_the_second_time_is_not_missing() -> None:
    script(
        asked(),
        (counted(2), [ask(REPORT_ALL)]),
        (record(1), []),
        (answered(SUCCESS), [ask(REPORT_ALL)]),
        (record(1), []),
        (record(2), []),
        (answered(SUCCESS), [note(2)]),
    )


def test_a_record_too_short_to_have_a_number_counts_as_one() -> None:
    script(
        asked(),
        (counted(2), [ask(REPORT_ALL)]),
        (record(1), []),
        (Notified("2A18", b"\x00\x02"), []),
        (answered(SUCCESS), [note(1)]),
    )


def test_two_records_twice_are_two() -> None:
    script(
        asked(),
        (counted(2), [ask(REPORT_ALL)]),
        *(((record(number), [])) for number in (1, 1, 2, 2)),
        (answered(SUCCESS), [note(2)]),
    )


@pytest.mark.parametrize(
    ("last", "numbers", "noted"),
    [
        (7, [8, 9], [note(9)]),
        (7, [8, 9, 11], [note(9)]),
        # Whether 8 exists nobody knows; so from 8 again.
        (7, [9, 10], []),
        (7, [10, 9, 8], [note(10)]),
        (7, [], []),
        (None, [3, 4, 5], [note(5)]),
        (None, [3, 4, 6], [note(4)]),
        # One record does not show in which order they come.
        (None, [3], []),
        (None, [9, 8], []),
    ],
)
def test_a_link_that_breaks_is_gone_on_from_where_nothing_was_missing(
    last: int | None, numbers: list[int], noted: list[Command]
) -> None:
    conversation = asked(last)
    play(conversation, counted(99), *(record(number) for number in numbers))
    assert play(conversation, Disconnected()) == noted
    assert play(conversation, Disconnected()) == []


@pytest.mark.parametrize(
    ("records", "noted"),
    [
        ([record(8), record(9)], [note(9)]),
        ([record(9), record(10)], []),
        ([record(8, epoch=1), record(9, epoch=1)], []),
        ([record(8)], []),
    ],
    ids=["proved", "proof missing", "another proof", "proof only"],
)
def test_without_its_proof_a_broken_report_notes_nothing(
    records: list[Event], noted: list[Command]
) -> None:
    conversation = asked(8, glucose_record(8))
    play(conversation, counted(99), *records)
    assert play(conversation, Disconnected()) == noted


def test_a_link_that_breaks_while_counting_or_comparing_notes_nothing() -> None:
    assert play(asked(7), record(8), Disconnected()) == []
    conversation = asked(7)
    play(conversation, counted(0), record(8))
    assert play(conversation, Disconnected()) == []


def test_a_record_that_cannot_be_kept_aborts_and_hangs_up() -> None:
    conversation = asked(7)
    script(
        conversation,
        (counted(9), [ask(REPORT_FROM_8)]),
        (record(8), []),
        (record(9, kept=False), [note(8), ask(ABORT), HangUp()]),
        # What was on its way still comes, is kept, and is asked for again next time.
        (record(10), []),
        (answered(SUCCESS, request=3), []),
        (Disconnected(), []),
    )
    assert conversation.ending is Ending.NOT_KEPT


def test_a_link_at_its_longest_is_aborted_before_it_ends() -> None:
    conversation = asked()
    play(conversation, counted(999))
    for number in range(300):
        play(conversation, record(number), seconds=number)
    assert play(conversation, Tick(), seconds=300) == [note(299), ask(ABORT), HangUp()]
    assert conversation.ending is Ending.TOO_LONG


def test_a_silent_procedure_ends_the_link_after_30_s_from_its_last_record() -> None:
    conversation = asked()
    play(conversation, counted(9))
    assert play(conversation, record(1), seconds=20) == []
    assert play(conversation, Tick(), seconds=49.9) == []
    assert play(conversation, Tick(), seconds=50) == [ask(ABORT), HangUp()]
    assert conversation.ending is Ending.RECORDS_TIMED_OUT


def test_the_quiet_time_begins_when_the_records_are_through() -> None:
    conversation = asked()
    play(conversation, counted(0), seconds=20)
    assert play(conversation, Tick(), seconds=54.9) == []
    assert play(conversation, Tick(), seconds=55) == [HangUp()]
    assert conversation.ending is Ending.QUIET


@pytest.mark.parametrize(
    ("busy", "why"),
    [
        (answered(10, request=4), "the device is busy, result 10"),
        (answered(8, request=4), "the device is busy, result 8"),
        (Written("2A52", ok=False, error=0xFE), "the request was not accepted, ATT error 0xFE"),
        (Written("2A52", ok=False), "the request was not accepted"),
    ],
)
def test_a_busy_meter_is_asked_again_three_times_in_all(busy: Event, why: str) -> None:
    conversation = asked()
    for seconds in (0.0, 5.0):
        assert play(conversation, busy, seconds=seconds) == []
        assert play(conversation, Tick(), seconds=seconds + 4.9) == []
        assert play(conversation, Tick(), seconds=seconds + 5) == [ask(COUNT_ALL)]
    assert play(conversation, busy, seconds=10) == [
        NoteEvent("records_refused", f"stored records: {why}")
    ]
    assert play(conversation, Tick(), seconds=20) == []


def test_an_answer_to_a_request_that_seemed_refused_is_taken() -> None:
    conversation = asked()
    script(
        conversation,
        (Written("2A52", ok=False), []),
        (counted(1), [ask(REPORT_ALL)]),
        # The write's failure was about the request before.
        (record(1), []),
        (answered(SUCCESS), [NoteSequence("2A18", 1, glucose_record(1))]),
    )


def test_a_report_cut_short_by_the_meter_goes_on_later() -> None:
    conversation = asked(7)
    script(
        conversation,
        (counted(2), [ask(REPORT_FROM_8)]),
        (record(8), []),
        (answered(8), []),
    )
    assert play(conversation, Tick(), seconds=5) == [ask(REPORT_FROM_8)]
    script(conversation, (record(8), []), (record(9), []), (answered(SUCCESS), [note(9)]))


@pytest.mark.parametrize(
    "stray",
    [
        Notified("2A52", b""),
        Notified("2A52", b"\xff\x00"),
        answered(SUCCESS),
        answered(SUCCESS, request=3),
        Notified("2A52", COUNT_ALL),
    ],
)
def test_an_answer_to_something_else_is_none(stray: Event) -> None:
    script(asked(), (stray, []), (counted(1), [ask(REPORT_ALL)]), (counted(1), []))


def test_answers_before_and_after_are_none() -> None:
    conversation = Conversation(METER)
    play(conversation, Connected(ALL_METER, bonded=True))
    assert play(conversation, counted(3), Written("2A52", ok=False)) == []
    conversation = asked()
    play(conversation, counted(0))
    assert play(conversation, counted(3), Written("2A52", ok=False), Tick()) == []


def test_close_to_the_highest_number_all_are_asked_for() -> None:
    """Whether a meter goes on with 0 is not written anywhere; then no record may be missed."""
    close = glucose_record(FILTERED_MAX)
    first = FILTERED_MAX.to_bytes(2, "little")
    script(
        asked(FILTERED_MAX - 1),
        (counted(1), [ask(b"\x01\x03\x01" + first)]),
        (Notified("2A18", close), []),
        (answered(SUCCESS), [NoteSequence("2A18", FILTERED_MAX, close), ask(COUNT_ALL)]),
        (counted(2), [ask(REPORT_ALL)]),
        (Notified("2A18", close), []),
        (record(0), []),
        (answered(SUCCESS), []),
    )
    conversation = asked(0xFFFF, glucose_record(0xFFFF))
    assert play(conversation, counted(1)) == [ask(REPORT_ALL)]


@pytest.mark.parametrize("is_present", [True, False])
def test_a_meter_without_its_control_point_still_gives_what_comes(is_present: bool) -> None:
    conversation = Conversation(METER)
    there = ALL_METER if is_present else ALL_METER - {"2A52"}
    commands = play(
        conversation,
        Connected(there, bonded=True),
        Subscribed("2A18", ok=True),
        Subscribed("2A34", ok=True),
        *([Subscribed("2A52", ok=False)] if is_present else []),
    )
    assert commands[-1] == NoteEvent("records_refused", "stored records: no control point")
    assert play(conversation, record(1)) == []
    assert conversation.values == 1
