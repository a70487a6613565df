"""What the scripts of conversations share: moments, a way to play events, values by hand."""

from dataclasses import replace
from datetime import datetime, timedelta

from devices.conversation import Command, Conversation, Event, Moment, Written
from devices.gatt import cgm, glucose
from devices.gatt.cgm import CgmRecord
from devices.gatt.glucose import Glucose
from devices.profiles.profile import Profile, Records

START = datetime(2026, 11, 22, 8, 0, 0)  # noqa: DTZ001 - the local time of a device
PLAIN = Profile(
    name="plain",
    measurements=("2A35",),
    clock=None,
    reads=(),
    must_bond=False,
    quiet_s=12.0,
    link_max_s=60.0,
    source="made up for these scripts",
)
METER = replace(
    PLAIN,
    name="meter",
    measurements=("2A18",),
    optional=("2A34",),
    records=Records("2A18"),
    quiet_s=35.0,
    link_max_s=300.0,
)
SENSOR = replace(
    METER,
    name="sensor",
    measurements=("2AA7",),
    optional=(),
    records=Records("2AA7", is_numbered_by_time=True),
)
ALL_METER = frozenset({"2A18", "2A34", "2A52"})
ALL_SENSOR = frozenset({"2AA7", "2AAA", "2A52"})


def at(seconds: float = 0.0) -> Moment:
    return Moment(100.0 + seconds, START + timedelta(seconds=seconds))


def play(conversation: Conversation, *events: Event, seconds: float = 0.0) -> list[Command]:
    """Hand the events over, all at ``seconds``; returns every command that came of it."""
    return [command for event in events for command in conversation.handle(event, at(seconds))]


def glucose_record(number: int, *, epoch: int = 0, mmol: float = 6.0) -> bytes:
    """Record ``number`` of a meter; ``epoch`` tells two numberings apart by the base time."""
    time = START + timedelta(days=epoch, minutes=number)
    return glucose.encode(
        Glucose(number, time, concentration=mmol / 1000, in_moles=True, status=None)
    )


def sensor_record(minute: int, *, mg_dl: float = 108) -> bytes:
    return cgm.encode((CgmRecord(mg_dl, minute),))


def done(characteristic: str = "2A52") -> Written:
    return Written(characteristic, ok=True)
