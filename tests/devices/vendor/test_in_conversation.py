"""A maker's protocol within a whole conversation, from the link's beginning to its end."""

from __future__ import annotations

from collections import deque
from datetime import timedelta

import pytest

from devices import gatt
from devices.conversation import (
    Command,
    Connected,
    Conversation,
    Ending,
    Event,
    HangUp,
    Keep,
    Moment,
    NoteSequence,
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
from devices.gatt import nonin_oximetry, taidoc
from devices.gatt.nonin_oximetry import CONTROL_POINT, Frame
from devices.profiles import PROFILES
from devices.vendor import taidoc_meter
from tests.devices.vendor.fix_meter import NOW, Meter, silent

METER, OXIMETER = PROFILES["taidoc-fora"], PROFILES["nonin-3230"]


class Link:
    """Carries commands out against a device that is a function from write to frames."""

    def __init__(self, conversation: Conversation, meter: Meter | None = None) -> None:
        self.conversation, self.meter = conversation, meter
        self.commands: list[Command] = []
        self._waiting: deque[Command] = deque()
        self.now_s = 0.0

    @property
    def moment(self) -> Moment:
        return Moment(self.now_s, NOW + timedelta(seconds=self.now_s))

    def tell(self, event: Event) -> None:
        self._waiting.extend(self.conversation.handle(event, self.moment))
        while self._waiting:
            command = self._waiting.popleft()
            self.commands.append(command)
            self._carry_out(command)

    def _carry_out(self, command: Command) -> None:
        match command:
            case Pair():
                self.tell(Paired(True))
            case ReadValue(characteristic):
                self.tell(Read(characteristic, None))
            case Subscribe(characteristic):
                self.tell(Subscribed(characteristic, True))
            case WriteValue(characteristic, raw):
                frames = () if self.meter is None else self.meter.answers(raw)
                self.tell(Written(characteristic, True))
                for frame in frames:
                    self.now_s += 0.1
                    self.tell(Notified(characteristic, frame))
            case _:
                pass

    def kept(self) -> list[bytes]:
        return [command.raw for command in self.commands if isinstance(command, Keep)]


def test_a_meter_is_asked_after_it_was_subscribed_to_and_the_link_ends() -> None:
    time = NOW.replace(second=0)
    record = taidoc_meter.pressure(time, systolic_mmhg=128, diastolic_mmhg=82, pulse_bpm=70)
    link = Link(Conversation(METER), Meter([record]))
    link.tell(Connected(frozenset(METER.measurements), bonded=False))
    assert link.commands[0] == Subscribe(taidoc.CHARACTERISTIC)
    assert link.commands[-1] == HangUp()
    assert link.conversation.ending is Ending.DONE
    decoded = gatt.decode(taidoc.CHARACTERISTIC, link.kept()[0])
    assert isinstance(decoded, gatt.Reading)
    assert decoded.measurements[0].device_time == time
    (noted,) = [one for one in link.commands if isinstance(one, NoteSequence)]
    again = Link(Conversation(METER, noted.number, proof=noted.proof), Meter([record]))
    again.tell(Connected(frozenset(METER.measurements), bonded=False))
    assert again.kept() == []


def test_the_battery_of_a_meter_is_read_when_nothing_is_left_to_ask() -> None:
    time = NOW.replace(second=0)
    record = taidoc_meter.pressure(time, systolic_mmhg=128, diastolic_mmhg=82, pulse_bpm=70)
    link = Link(Conversation(METER), Meter([record]))
    link.tell(Connected(frozenset((*METER.measurements, "2A19")), bonded=False))
    (at,) = [n for n, command in enumerate(link.commands) if command == ReadValue("2A19")]
    turn_off = taidoc.encode_frame(taidoc.Frame(taidoc.Command.TURN_OFF))
    assert link.commands[at + 1 :] == [WriteValue(taidoc.CHARACTERISTIC, turn_off), HangUp()]
    assert link.conversation.ending is Ending.DONE


def test_the_battery_of_an_oximeter_that_sends_by_itself_is_read_at_once() -> None:
    link = Link(Conversation(OXIMETER))
    link.tell(Connected(frozenset((*OXIMETER.measurements, "2A19")), bonded=True))
    assert link.commands[-2:] == [Subscribe(nonin_oximetry.CHARACTERISTIC), ReadValue("2A19")]


def test_a_meter_that_never_answers_is_hung_up_on() -> None:
    link = Link(Conversation(METER), Meter([], faults=[silent] * 20))
    link.tell(Connected(frozenset(METER.measurements), bonded=False))
    while link.conversation.ending is None:
        link.now_s += 1
        link.tell(Tick())
    assert link.commands[-1] == HangUp()
    assert link.now_s <= METER.quiet_s


@pytest.mark.parametrize("is_bonded", [False, True])
def test_an_oximeter_is_listened_to_over_a_bond(is_bonded: bool) -> None:
    link = Link(Conversation(OXIMETER))
    link.tell(Connected(frozenset((*OXIMETER.measurements, CONTROL_POINT)), bonded=is_bonded))
    assert (Pair() in link.commands) is not is_bonded
    for second in range(4):
        link.now_s = float(second)
        raw = nonin_oximetry.encode(Frame(96, 71, second, amplitude_percent=4.2))
        link.tell(Notified(nonin_oximetry.CHARACTERISTIC, raw))
    assert len(link.kept()) == 1
    assert link.commands[-1] == WriteValue(CONTROL_POINT, bytes.fromhex("624E4D49"))
    link.now_s = 4 + OXIMETER.quiet_s
    link.tell(Tick())
    assert link.conversation.ending is Ending.QUIET
