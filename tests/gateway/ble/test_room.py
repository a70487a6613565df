"""Whose turn it is, who rests, and who needs a person."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
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
from gateway.ble.room import (
    LOOKED_UP_MAX_S,
    REST_BLIND_S,
    REST_BOND_LOST_S,
    REST_FIRST_S,
    REST_MAX_S,
    SIGHTING_MAX_S,
    Room,
)
from gateway.ble.session import Ended
from gateway.ble.turn import Turn
from gateway.clock import ClockReading
from gateway.paired import PairedDevice
from tests.gateway.ble.fix_bluez import CUFF
from tests.gateway.ble.fix_home import QUICK, MemoryJournal

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
REFUSED = Ended(None, 0, None, "bond_refused", is_bond_refused=True)
GOOD = Ended(Ending.DEVICE_HUNG_UP, 1, None)


@dataclass
class Time:
    now_s: float = 1000.0
    is_full: bool = False
    paired: list[PairedDevice] = field(default_factory=lambda: [CUFF])
    lookups: int = 0
    room: Room = field(init=False)

    def __post_init__(self) -> None:
        self.room = Room(self.look_up, self.read, RadioHealth(), has_room=lambda: not self.is_full)

    def look_up(self) -> list[PairedDevice]:
        self.lookups += 1
        return list(self.paired)

    def read(self) -> ClockReading:
        return ClockReading(NOON + timedelta(seconds=self.now_s), "ntp", int(self.now_s * 1000))

    def sight(self) -> None:
        self.room.sighted(BLEDevice(CUFF.address, None, None))

    def hear(self, address: str = CUFF.address) -> None:
        said = AdvertisementData(None, {}, {}, [], None, -50, ())
        self.room.on_advertisement(BLEDevice(address, None, None), said)

    def is_scan_old(self) -> bool:
        return self.room.is_scan_old

    def begin_scan(self) -> None:
        self.room.may_serve()
        self.room.scan_begins()


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


def test_one_heard_just_before_it_became_ours_is_asked_for_anew() -> None:
    """BlueZ 5.82 need not tell of it a second time in the same scan."""
    time = Time(paired=[])
    time.begin_scan()
    time.now_s += 0.1
    time.hear()
    time.paired.append(CUFF)
    assert time.room.something.is_set(), "whoever waits looks how long to wait now"
    assert not time.room.may_serve()
    assert not time.is_scan_old(), "not known yet: the list is a tenth of a second old"
    wait_s = time.room.wait_s(60.0)
    assert wait_s == pytest.approx(LOOKED_UP_MAX_S - 0.1)
    time.now_s += wait_s + 0.001
    assert not time.room.may_serve()
    assert time.is_scan_old()
    time.begin_scan()
    assert not time.is_scan_old()
    time.hear()
    assert time.room.may_serve()


def test_who_becomes_ours_is_asked_for_anew_though_heard_long_ago() -> None:
    time = Time(paired=[])
    time.begin_scan()
    time.hear()
    time.now_s += 5 * LOOKED_UP_MAX_S
    assert not time.room.may_serve()
    time.paired.append(CUFF)
    time.now_s += LOOKED_UP_MAX_S
    time.room.something.clear()
    time.hear("C0:00:00:00:00:01")
    assert time.room.something.is_set()
    assert time.is_scan_old()
    assert not time.room.may_serve()


def test_strangers_without_number_cost_one_look_a_second() -> None:
    time = Time()
    time.begin_scan()
    before = time.lookups
    for number in range(3000):
        time.now_s += 0.001
        time.hear(f"C0:00:00:00:{number // 256:02X}:{number % 256:02X}")
    assert 2 <= time.lookups - before <= 3
    assert time.room.sightings == {}
    assert not time.is_scan_old()


def test_one_that_is_no_longer_ours_calls_for_nothing() -> None:
    time = Time()
    time.begin_scan()
    time.sight()
    time.paired.clear()
    time.now_s += LOOKED_UP_MAX_S
    assert time.room.choose() is None
    assert not time.is_scan_old()


def test_one_heard_only_while_it_rested_is_asked_for_anew() -> None:
    """Its rest may be longer than a sighting is good for, and BlueZ 5.82 tells of it once."""
    time = Time()
    for _ in range(7):
        time.room.served(CUFF, Ended(None, 0, None, "out_of_reach"))
    time.begin_scan()
    time.hear()
    time.now_s += SIGHTING_MAX_S + 1
    assert not time.room.may_serve()
    assert not time.is_scan_old(), "it rests"
    assert time.room.wait_s(60.0) == pytest.approx(REST_MAX_S - SIGHTING_MAX_S - 1)
    time.now_s += time.room.wait_s(60.0)
    assert not time.room.may_serve(), "it may have gone to sleep meanwhile"
    assert time.is_scan_old()
    time.begin_scan()
    time.hear()
    assert time.room.may_serve()


def test_one_heard_only_while_nothing_could_be_kept_is_asked_for_anew() -> None:
    time = Time(is_full=True)
    time.begin_scan()
    time.hear()
    for _ in range(3):
        time.now_s += SIGHTING_MAX_S
        assert not time.room.may_serve()
        assert not time.is_scan_old()
    time.is_full, time.now_s = False, time.now_s + LOOKED_UP_MAX_S
    assert not time.room.may_serve()
    assert time.is_scan_old()


def test_a_value_that_bluez_took_is_not_held_against_the_device() -> None:
    time = Time()
    for _ in range(8):
        time.room.served(CUFF, Ended(Ending.LINK_LOST, 0, None, may_be_lost=True))
    time.sight()
    assert not time.room.may_serve()
    time.now_s += REST_BLIND_S
    assert time.room.may_serve()


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
