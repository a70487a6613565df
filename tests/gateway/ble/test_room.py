"""Whose turn it is, who rests, and who needs a person."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from bleak.backends.device import BLEDevice
from bleak.exc import BleakDBusError, BleakError
from bleak_retry_connector import (
    BleakAbortedError,
    BleakNotFoundError,
    BleakOutOfConnectionSlotsError,
)
from structlog.testing import capture_logs

from devices.conversation import Ending
from gateway.ble.bus import BusAway
from gateway.ble.connect import LinkFlaps, NoLink, why_no_link
from gateway.ble.health import BOND_REFUSALS, RadioHealth
from gateway.ble.room import REST_BOND_LOST_S, REST_FIRST_S, Room
from gateway.ble.session import Ended
from gateway.clock import ClockReading
from tests.gateway.ble.fix_bluez import CUFF

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
REFUSED = Ended(None, 0, None, "bond_refused", is_bond_refused=True)
GOOD = Ended(Ending.DEVICE_HUNG_UP, 1, None)


@dataclass
class Time:
    now_s: float = 1000.0
    is_full: bool = False
    room: Room = field(init=False)

    def __post_init__(self) -> None:
        self.room = Room(
            lambda: [CUFF], self.read, RadioHealth(), has_room=lambda: not self.is_full
        )

    def read(self) -> ClockReading:
        return ClockReading(NOON + timedelta(seconds=self.now_s), "ntp", int(self.now_s * 1000))

    def sight(self) -> None:
        self.room.sighted(BLEDevice(CUFF.address, None, None))


def test_a_refused_bond_is_counted_and_told_once() -> None:
    time = Time()
    with capture_logs() as logs:
        for _ in range(BOND_REFUSALS + 1):
            time.room.served(CUFF, REFUSED)
    assert time.room.health.bond_lost() == (CUFF.dev,)
    assert [entry["event"] for entry in logs].count("bond_lost") == 1
    assert time.room.health.no_links == {"bond_refused": BOND_REFUSALS + 1}
    time.sight()
    assert not time.room.may_serve()
    time.now_s += REST_BOND_LOST_S
    time.sight()
    assert time.room.may_serve(), "still tried, for it may only have been out of reach"
    time.room.served(CUFF, GOOD)
    assert time.room.health.bond_lost() == ()


def test_a_value_between_shows_that_the_bond_is_there() -> None:
    time = Time()
    for ended in (REFUSED, REFUSED, GOOD, REFUSED, REFUSED):
        time.room.served(CUFF, ended)
    assert time.room.health.bond_lost() == ()


def test_after_an_enrolment_nobody_rests() -> None:
    time = Time()
    for _ in range(BOND_REFUSALS):
        time.room.served(CUFF, REFUSED)
    time.room.rested()
    time.room.health.bonds_may_be_new()
    time.sight()
    assert time.room.may_serve()
    assert time.room.health.bond_lost() == ()


def test_nothing_is_linked_up_with_while_nothing_can_be_kept() -> None:
    time = Time(is_full=True)
    time.sight()
    with capture_logs() as logs:
        assert time.room.choose() is None
    assert [entry["event"] for entry in logs] == ["no_links_while_full"]
    time.is_full, time.now_s = False, time.now_s + 2
    assert time.room.choose() is not None


def test_a_device_rests_after_a_link_that_brought_nothing() -> None:
    time = Time()
    time.room.served(CUFF, Ended(None, 0, None, "out_of_reach"))
    time.sight()
    assert time.room.wait_s(60.0) == pytest.approx(REST_FIRST_S)
    assert time.room.choose() is None


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (LinkFlaps("gone at once"), NoLink.BOND_REFUSED),
        (BleakAbortedError("failed: br-connection-canceled"), NoLink.BOND_REFUSED),
        (BleakAbortedError("failed: le-connection-abort-by-local"), NoLink.ABORTED),
        (BleakDBusError("org.bluez.Error.AuthenticationFailed", []), NoLink.BOND_REFUSED),
        (BleakNotFoundError("not found"), NoLink.OUT_OF_REACH),
        (TimeoutError(), NoLink.OUT_OF_REACH),
        (BleakOutOfConnectionSlotsError("no slot"), NoLink.NO_SLOT),
        (BusAway("gone"), NoLink.STACK_AWAY),
        (EOFError(), NoLink.STACK_AWAY),
        (BleakError("whatever"), NoLink.FAILED),
    ],
)
def test_each_failure_has_its_class(error: BaseException, why: NoLink) -> None:
    assert why_no_link(error) is why
