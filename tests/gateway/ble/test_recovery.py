"""Which step is due against a stuck radio, and that it is taken and counted."""

import shlex
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from dbus_fast import Variant
from structlog.testing import capture_logs

from gateway.ble.kernel import is_too_old, kernel_release
from gateway.ble.recovery import Ladder, Patience, Recovery, Step, Trouble
from gateway.ble.watch import Watch
from tests.gateway.ble.fix_bluez import ADAPTER_PATH, adapter, quick_bus, running
from tests.gateway.ble.fix_bus import StandIn, message_bus, stand_in
from tests.gateway.ble.fix_home import until

PATIENCE = Patience()


def heard() -> Ladder:
    ladder = Ladder()
    ladder.heard()
    return ladder


@pytest.mark.parametrize("trouble", list(Trouble))
def test_each_step_comes_once_and_in_its_time(trouble: Trouble) -> None:
    ladder, began_s = heard(), 1000.0
    assert ladder.decide(trouble, began_s) is None
    for step, due_s in PATIENCE.steps(trouble):
        assert ladder.decide(trouble, began_s + due_s - 0.1) is None
        assert ladder.decide(trouble, began_s + due_s) is step
        assert ladder.decide(trouble, began_s + due_s) is None
    assert ladder.decide(trouble, began_s + 1e6) is None, "a reboot that did not help is the last"


def test_a_radio_that_never_heard_anything_is_left_alone() -> None:
    ladder = Ladder()
    assert [ladder.decide(Trouble.ABSENT, day * 86_400.0) for day in range(9)] == [None] * 9


def test_whoever_hears_again_begins_at_the_bottom() -> None:
    ladder = heard()
    ladder.decide(Trouble.DEAF, 0.0)
    assert ladder.decide(Trouble.DEAF, 240.0) is Step.POWER
    ladder.heard()
    assert ladder.decide(Trouble.DEAF, 1000.0) is None
    assert ladder.decide(Trouble.DEAF, 1240.0) is Step.POWER


def test_the_time_counts_from_the_first_of_several_troubles() -> None:
    ladder = heard()
    ladder.decide(Trouble.REFUSES, 0.0)
    assert ladder.decide(Trouble.REFUSES, 120.0) is Step.POWER
    assert ladder.decide(Trouble.ABSENT, 121.0) is Step.BLUETOOTHD
    assert ladder.decide(Trouble.ABSENT, 1800.0) is Step.REBOOT


@pytest.mark.parametrize(
    ("release", "is_old"),
    [("6.1.0-56-amd64", True), ("5.15.84-v8+", True), ("6.6.20+rpt-rpi-v8", False)],
)
def test_the_kernel_that_crashes_is_known(release: str, is_old: bool) -> None:
    assert is_too_old(release) is is_old
    assert not is_too_old("unheard of")
    assert kernel_release()


@asynccontextmanager
async def watching(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[StandIn, Watch]]:
    bus = quick_bus()
    watch = Watch(bus)
    async with message_bus(folder, monkeypatch) as daemon, stand_in(daemon) as bluez:
        bluez.objects[ADAPTER_PATH] = adapter()
        async with running(bus.run(), watch.run()):
            await until(watch.usable.is_set)
            yield bluez, watch


def power_sets(bluez: StandIn) -> list[bool]:
    return [body[2].value for _, member, body in bluez.calls if member == "Set"]


async def test_the_adapter_and_bluez_are_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watching(tmp_path, monkeypatch) as (bluez, watch):
        assert not watch.lost.is_set()
        await bluez.remove(ADAPTER_PATH)
        await until(watch.lost.is_set)
        await bluez.add(ADAPTER_PATH, adapter())
        await until(watch.usable.is_set)
        await bluez.vanish()
        await until(watch.lost.is_set)
        assert watch.counts["adapter_lost"] == 2
        await bluez.appear()
        await until(watch.usable.is_set)
        assert watch.counts["bluetoothd_restarts"] == 1


async def test_an_adapter_that_was_switched_off_is_switched_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watching(tmp_path, monkeypatch) as (bluez, watch):
        await bluez.change(ADAPTER_PATH, "org.bluez.Adapter1", {"Powered": Variant("b", False)})
        await until(lambda: power_sets(bluez) == [True])
        assert watch.counts["adapter_lost"] == 1


async def test_the_steps_are_taken_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = tmp_path / "done"
    touch = shlex.join([sys.executable, "-c", f"open({str(done)!r}, 'w')"])
    async with watching(tmp_path, monkeypatch) as (bluez, watch):
        recovery = Recovery(watch, restart_bluetooth=touch, ladder=heard())
        for now_s in (0.0, 240.0, 600.0, 1800.0):
            with capture_logs() as logs:
                await recovery.tend(Trouble.DEAF, now_s)
        assert power_sets(bluez) == [False, True]
        assert done.exists()
        assert recovery.counts == {Step.POWER: 1, Step.BLUETOOTHD: 1, Step.REBOOT: 1}
        assert "recovery_needs_a_person" in [entry["event"] for entry in logs], "no command for it"


async def test_a_step_that_fails_is_said_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watching(tmp_path, monkeypatch) as (bluez, watch):
        bluez.answers["Set"] = "org.bluez.Error.Blocked"
        recovery = Recovery(watch, restart_bluetooth="/no/such/command", ladder=heard())
        with capture_logs() as logs:
            for now_s in (0.0, 240.0, 600.0):
                await recovery.tend(Trouble.DEAF, now_s)
        assert [entry["event"] for entry in logs].count("recovery_failed") == 2
