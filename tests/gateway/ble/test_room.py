"""Whose turn it is, who rests, and who needs a person."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from bleak.backends.device import BLEDevice
from bleak.exc import (
    BleakDBusError,
    BleakError,
    BleakGATTProtocolError,
    BleakGATTProtocolErrorCode,
)
from bleak_retry_connector import (
    BleakAbortedError,
    BleakNotFoundError,
    BleakOutOfConnectionSlotsError,
)
from structlog.testing import capture_logs

from devices.conversation import Ending
from gateway.ble import listen
from gateway.ble.bus import BusAway, BusError
from gateway.ble.connect import LinkFlaps, NoLink, why_no_link
from gateway.ble.gatt import att_error
from gateway.ble.health import BOND_REFUSALS, DEAF_S, RadioHealth
from gateway.ble.link import Surroundings
from gateway.ble.radio import Radio
from gateway.ble.room import REST_BOND_LOST_S, REST_FIRST_S, Room
from gateway.ble.session import Ended
from gateway.ble.turn import Turn
from gateway.clock import ClockReading
from tests.gateway.ble.fix_bluez import CUFF
from tests.gateway.ble.fix_home import QUICK, MemoryJournal

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


def test_a_scan_that_hears_nothing_is_begun_anew_ever_later() -> None:
    time = Time()
    around = Surroundings(Radio(), MemoryJournal(), time.read, UTC, QUICK)
    ear = listen._Ear(time.room, around, Turn(), None)
    began_s = time.now_s
    for quiet_s in (10.0, 20.0, 40.0, 80.0, DEAF_S, DEAF_S):
        time.now_s = began_s + quiet_s - 0.1
        assert not listen._is_quiet(ear, began_s)
        time.now_s = began_s + quiet_s
        assert listen._is_quiet(ear, began_s)
    time.room.health.heard(time.now_s)
    assert not listen._is_quiet(ear, began_s)
    began_s = time.now_s + 0.1
    time.now_s = began_s + 10.0
    assert listen._is_quiet(ear, began_s), "after something was heard soon again"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BusError("org.bluez.Error.Failed", "Operation failed with ATT error: 0x81"), 0x81),
        (BusError("org.bluez.Error.NotPermitted", "Not paired"), 0x0F),
        (BusError("org.bluez.Error.NotSupported", "Operation is not supported"), 0x06),
        (BusError("org.bluez.Error.Failed", "Not connected"), None),
        (BleakGATTProtocolError(BleakGATTProtocolErrorCode.WRITE_NOT_PERMITTED), 0x03),
        (TimeoutError(), None),
    ],
)
def test_a_refusal_is_told_by_its_att_error_code(error: BaseException, code: int | None) -> None:
    assert att_error(error) == code
