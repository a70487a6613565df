"""Whatever a radio and a device do, in any order: no exception, and no word after the hang-up."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from devices.conversation import (
    Command,
    Connected,
    Consent,
    Conversation,
    Disconnected,
    Event,
    HangUp,
    Keep,
    Moment,
    NoteClock,
    NoteEvent,
    NoteSequence,
    Notified,
    Paired,
    Read,
    Subscribed,
    Tick,
    Written,
)
from devices.profiles import PROFILES
from tests.devices.conversation.fix_script import (
    METER,
    SENSOR,
    START,
    glucose_record,
    sensor_record,
)

CLOCKS = ["2A08", "2A2B"]
MEASURED = ["2A35", "2A9D", "2A9C", "2A1C", "2A5E", "2A5F", "2A37", "2A18", "2A34", "2AA7"]
READ = ["2A19", "2A38", "2AAA", "2AA9", "2AA8"]
CONTROLLED = ["2A52", "2A9F"]
ALL = [*CLOCKS, *MEASURED, *READ, *CONTROLLED]
MAKERS = [one for profile in PROFILES.values() for one in profile.measurements if len(one) > 4]
SILENT = Keep | NoteClock | NoteEvent | NoteSequence
"""Commands that ask nothing of the device."""

characteristics = st.sampled_from([*ALL, *MAKERS])
raws = st.one_of(
    st.binary(max_size=20),
    st.builds(glucose_record, st.integers(0, 0xFFFF), epoch=st.integers(0, 2)),
    st.builds(sensor_record, st.integers(0, 0xFFFF)),
    # Answers of control points, and times.
    st.builds(lambda n: b"\x05\x00" + n.to_bytes(2, "little"), st.integers(0, 5)),
    st.builds(lambda op, result: bytes((6, 0, op, result)), st.integers(1, 4), st.integers(0, 11)),
    st.builds(lambda result: bytes((0x20, 2, result)), st.integers(1, 5)),
    st.just(bytes((0xEA, 0x07, 11, 15, 9, 30, 0, 0x80, 0xFF))),
)
events: st.SearchStrategy[Event] = st.one_of(
    st.builds(Connected, st.frozensets(characteristics), st.booleans()),
    st.builds(Connected, st.just(frozenset(ALL + MAKERS)), st.booleans()),
    st.builds(Paired, st.booleans()),
    st.builds(Read, characteristics, st.none() | raws),
    st.builds(Written, characteristics, st.booleans(), st.none() | st.integers(0, 255)),
    st.builds(Subscribed, characteristics, st.booleans()),
    st.builds(Notified, characteristics, raws, st.booleans()),
    st.builds(Notified, st.sampled_from(["2A52", "2A9F", "2A18", "2AA7"]), raws),
    st.just(Tick()),
    st.just(Disconnected()),
)
conversations = st.builds(
    Conversation,
    st.sampled_from([*PROFILES.values(), METER, SENSOR, replace(METER, has_users=True)]),
    st.none() | st.integers(0, 0xFFFF),
    st.none() | st.just(Consent(1, 1234)),
    st.none() | raws,
)
moments = st.tuples(st.floats(0, 40), st.booleans())


@settings(max_examples=400, deadline=None)
@given(conversation=conversations, story=st.lists(st.tuples(events, moments), max_size=40))
def test_no_order_of_events_breaks_it(
    conversation: Conversation, story: list[tuple[Event, tuple[float, bool]]]
) -> None:
    seconds, over = 0.0, False
    for event, (passed, knows_time) in story:
        seconds += passed
        now = Moment(seconds, START if knows_time else None)
        commands = conversation.handle(event, now)
        over |= isinstance(event, Disconnected)
        check(commands, is_over=over)
        over |= HangUp() in commands
        assert (conversation.ending is not None) == over


@settings(max_examples=300, deadline=None)
@given(
    conversation=conversations,
    answers=st.lists(st.tuples(raws, st.booleans()), max_size=60),
    data=st.data(),
)
def test_no_device_that_answers_anything_breaks_it(
    conversation: Conversation, answers: list[tuple[bytes, bool]], data: st.DataObject
) -> None:
    """Every command gets its answer, as from a real radio; what is in it is the device's affair."""
    there = frozenset(ALL + MAKERS)
    pending = list(conversation.handle(Connected(there, bonded=False), Moment(0.0, START)))
    over = HangUp() in pending
    for seconds, (raw, is_ok) in enumerate(answers, start=1):
        command = pending.pop(0) if pending else None
        event = answer_to(command, raw, is_ok=is_ok, somewhere=data.draw(characteristics))
        commands = conversation.handle(event, Moment(float(seconds), START))
        check(commands, is_over=over)
        over |= HangUp() in commands
        pending.extend(commands)


def answer_to(command: Command | None, raw: bytes, *, is_ok: bool, somewhere: str) -> Event:
    match type(command).__name__, getattr(command, "characteristic", somewhere):
        case "Pair", _:
            return Paired(is_ok)
        case "ReadValue", characteristic:
            return Read(characteristic, raw if is_ok else None)
        case "WriteValue", characteristic:
            return Written(characteristic, is_ok)
        case "Subscribe", characteristic:
            return Subscribed(characteristic, is_ok)
        case _:
            return Notified(somewhere, raw, is_ok) if raw else Tick()


def check(commands: tuple[Command, ...], *, is_over: bool) -> None:
    asked = [command for command in commands if not isinstance(command, SILENT)]
    if is_over:
        assert asked == [], "after the end nothing is asked"
    if HangUp() in commands:
        assert commands[-1] == HangUp()
        assert commands.count(HangUp()) == 1
