"""Listening where BlueZ comes and goes: absent at once, back by itself, helped if it stays away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from devices.virtual.home import VirtualHome
from gateway.ble.health import RadioHealth
from gateway.ble.listen import OnBluez, listen
from gateway.ble.radio import Radio
from gateway.ble.recovery import Ladder, Patience, Recovery, Step
from gateway.ble.subscriptions import Subscriptions
from gateway.ble.turn import Turn
from gateway.ble.watch import Watch
from gateway.clock import SystemClock
from tests.gateway.ble.fix_bluez import ADAPTER_PATH, adapter, quick_bus, running
from tests.gateway.ble.fix_bus import StandIn, message_bus, stand_in
from tests.gateway.ble.fix_home import QUICK, MemoryJournal, until

AT_ONCE = Patience(
    deaf=((Step.POWER, 0.0),), refuses=((Step.POWER, 0.0),), absent=((Step.BLUETOOTHD, 0.0),)
)


@dataclass
class Listening:
    bluez: StandIn
    health: RadioHealth
    recovery: Recovery
    turn: Turn


@asynccontextmanager
async def listening(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Listening]:
    """A gateway that scans the virtual link, and takes BlueZ's word for whether it may."""
    bus, health, turn = quick_bus(), RadioHealth(), Turn()
    watch = Watch(bus)
    on = OnBluez(
        Subscriptions(bus, paired=tuple, journal=MemoryJournal()),
        watch,
        Recovery(watch, ladder=Ladder(AT_ONCE)),
    )
    async with (
        message_bus(folder, monkeypatch) as daemon,
        stand_in(daemon) as bluez,
        VirtualHome(seed=1) as home,
        running(
            bus.run(),
            watch.run(),
            listen(
                radio=Radio(home.scanner_backend, home.client_backend),
                paired=tuple,
                journal=MemoryJournal(),
                clock=SystemClock(synchronised=lambda: True).read,
                health=health,
                limits=QUICK,
                turn=turn,
                bluez=on,
            ),
        ),
    ):
        yield Listening(bluez, health, on.recovery, turn)


async def test_the_radio_is_absent_until_there_is_an_adapter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with listening(tmp_path, monkeypatch) as gateway:
        assert gateway.health.state() == "absent"
        await gateway.bluez.add(ADAPTER_PATH, adapter())
        await until(lambda: gateway.health.state() == "ok")
        await gateway.bluez.vanish()
        await until(lambda: gateway.health.state() == "absent")
        await gateway.bluez.appear()
        await until(lambda: gateway.health.state() == "ok")


async def test_a_radio_that_was_heard_and_went_is_helped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.ble.listen.JUDGE_EVERY_S", 0.05)
    async with listening(tmp_path, monkeypatch) as gateway:
        await asyncio.sleep(0.2)
        assert not gateway.recovery.counts, "a home without a radio is no trouble"
        await gateway.bluez.add(ADAPTER_PATH, adapter())
        await until(lambda: gateway.health.state() == "ok")
        gateway.health.heard(1.0)
        await gateway.bluez.remove(ADAPTER_PATH)
        await until(lambda: gateway.recovery.counts[Step.BLUETOOTHD] == 1)


async def test_who_enrols_gets_the_adapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening(tmp_path, monkeypatch) as gateway:
        await gateway.bluez.add(ADAPTER_PATH, adapter())
        await until(lambda: gateway.health.state() == "ok")
        async with asyncio.timeout(5), gateway.turn.enrolling():
            pass
