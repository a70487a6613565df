"""The whole way over the virtual link: scan, bond, clock, value, hang-up, and what goes wrong."""

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from bleak.backends.scanner import AdvertisementDataCallback, BaseBleakScanner
from bleak.exc import BleakBluetoothNotAvailableError, BleakBluetoothNotAvailableReason
from structlog.testing import capture_logs

from devices.gatt import blood_pressure, weight
from devices.virtual.device import Report
from gateway.ble.health import RadioHealth
from gateway.ble.listen import listen
from gateway.ble.radio import Radio
from gateway.clock import ClockReading, SystemClock
from gateway.paired import PairedDevice
from tests.gateway.ble.fix_home import QUICK, Kept, MemoryJournal, listening, until

PRESSURE = {"systolic": 148, "diastolic": 86, "pulse": 71}


async def test_a_value_goes_from_the_cuff_to_the_journal() -> None:
    async with listening("cuff") as gateway:
        cuff = gateway.home.devices["cuff"]
        cuff.clock_offset = timedelta(minutes=17)
        before = cuff.device_time()
        report = await cuff.measure(PRESSURE)
        assert report.delivered
        assert report.attempts == 1
        (raw,) = gateway.journal.values("2A35")
        assert {row.dev for row in gateway.journal.rows} == {cuff.dev}
        measurement = blood_pressure.decode(raw)
        assert [sample.value for sample in measurement.samples] == [148.0, 86.0, 107.0, 71.0]
        assert measurement.device_time == before, "the value carries the clock from before"
        kept = [row.characteristic for row in gateway.journal.rows]
        assert kept[0] == "2A08", "a wrong clock is kept beside the value"
        await until(lambda: gateway.journal.values("2A19") == [bytes((cuff.battery_percent,))])
        assert await cuff.is_bonded()
        assert abs(cuff.clock_offset) < timedelta(seconds=2), "the clock was set"
        await until(lambda: gateway.health.endings["device_hung_up"] == 1)
        offset_s = gateway.health.devices[cuff.dev].clock_offset_s
        assert offset_s is not None
        assert abs(offset_s - 17 * 60) < 2


async def test_a_gateway_that_does_not_know_the_time_sets_no_clock() -> None:
    async with listening("cuff", clock=SystemClock(synchronised=lambda: False).read) as gateway:
        cuff = gateway.home.devices["cuff"]
        cuff.clock_offset = timedelta(seconds=30)
        assert (await cuff.measure(PRESSURE)).delivered
        kept = [row.characteristic for row in gateway.journal.rows]
        assert kept[0] == "2A08", "its clock is kept for when ours is known"
        assert cuff.clock_offset == timedelta(seconds=30)


async def test_the_value_is_journaled_before_the_cuff_hears_of_it() -> None:
    async with listening("cuff") as gateway:
        cuff = gateway.home.devices["cuff"]
        undelivered: list[int] = []

        def note(row: Kept) -> None:
            if row.characteristic == "2A35":
                undelivered.append(len(cuff.undelivered))

        gateway.journal.on_append = note
        await cuff.measure(PRESSURE)
        assert undelivered == [1]
        assert cuff.undelivered == []


async def test_the_second_session_uses_the_bond() -> None:
    async with listening("cuff") as gateway:
        cuff = gateway.home.devices["cuff"]
        await cuff.measure(PRESSURE)
        assert not cuff.pairing_mode
        report = await cuff.measure({**PRESSURE, "systolic": 131})
        assert report.delivered
        assert len(gateway.journal.values("2A35")) == 2


def refuse_first(journal: MemoryJournal, characteristic: str, times: int) -> None:
    left = [times]

    def refuse(row: Kept) -> bool:
        if row.characteristic != characteristic or not left[0]:
            return False
        left[0] -= 1
        return True

    journal.refuse = refuse


@pytest.mark.parametrize("characteristic", ["2A35", "2A08"])
async def test_what_could_not_be_kept_stays_in_the_cuff(characteristic: str) -> None:
    # The journal's error goes on into Bumble, which hands it to the loop.
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    async with listening("cuff") as gateway:
        refuse_first(gateway.journal, characteristic, 2)
        cuff = gateway.home.devices["cuff"]
        cuff.clock_offset = timedelta(minutes=17)
        report = await cuff.measure(PRESSURE)
        assert report.delivered
        assert report.attempts == 3
        assert gateway.health.endings["not_kept"] == 2
        assert len(gateway.journal.values("2A35")) == 1


async def test_an_unknown_device_is_left_alone() -> None:
    async with listening("scale", window_s=0.5) as gateway:
        report = await gateway.home.devices["cuff"].measure(PRESSURE)
        assert report == Report(False, None, None, 0)
        assert gateway.journal.rows == []
        assert gateway.health.last_heard_s is not None, "it was heard all the same"


@pytest.mark.parametrize("tells_once", [False, True])
async def test_a_device_paired_meanwhile_is_served(tells_once: bool) -> None:
    async with listening(tells_once=tells_once) as gateway:
        cuff = gateway.home.devices["cuff"]
        measuring = asyncio.create_task(cuff.measure(PRESSURE))
        await until(lambda: gateway.health.last_heard_s is not None)
        gateway.pair(cuff)
        assert (await measuring).delivered


async def test_a_link_lost_midway_is_made_again_and_the_value_sent() -> None:
    async with listening("cuff") as gateway:
        cuff = gateway.home.devices["cuff"]
        cuff.clock_offset = timedelta(minutes=17)
        breaking: list[asyncio.Task[None]] = []

        def break_link(row: Kept) -> None:
            if row.characteristic == "2A08" and not breaking:
                breaking.append(asyncio.create_task(cuff.drop_link()))

        gateway.journal.on_append = break_link
        report = await cuff.measure(PRESSURE)
        assert report.delivered
        assert report.attempts == 2
        await until(lambda: gateway.health.endings.total() == 2)
        assert gateway.health.endings["device_hung_up"] == 1


async def test_what_nobody_fetched_is_sent_at_the_next_link() -> None:
    async with listening(window_s=0.3) as gateway:
        cuff = gateway.home.devices["cuff"]
        assert not (await cuff.measure(PRESSURE)).delivered
        assert not (await cuff.measure({**PRESSURE, "systolic": 150})).delivered
        gateway.pair(cuff)
        cuff.window_s = 5.0
        assert (await cuff.measure({**PRESSURE, "systolic": 152})).delivered
        decoded = [blood_pressure.decode(raw) for raw in gateway.journal.values("2A35")]
        assert [one.samples[0].value for one in decoded] == [148.0, 150.0, 152.0]
        assert len({one.raw for one in decoded}) == 3


async def test_four_devices_at_once_are_all_heard_out() -> None:
    async with listening("cuff", "scale", "thermometer", "oximeter", window_s=10.0) as gateway:
        devices = gateway.home.devices
        reports = await asyncio.gather(
            devices["cuff"].measure(PRESSURE),
            devices["scale"].measure({"weight": 80.07}),
            devices["thermometer"].measure({"temperature": 37.24}),
            devices["oximeter"].measure({"spo2": 94, "pulse": 66}),
        )
        assert all(report.delivered and report.attempts == 1 for report in reports)
        assert [len(gateway.journal.values(c)) for c in ("2A35", "2A9D", "2A1C", "2A5E")] == [1] * 4
        assert weight.decode(gateway.journal.values("2A9D")[0]).samples[0].value == 80.05


async def test_one_that_advertises_without_end_does_not_keep_another_out() -> None:
    async with listening("cuff", "scale", window_s=6.0) as gateway:
        cuff, scale = gateway.home.devices["cuff"], gateway.home.devices["scale"]
        # Forgetting the bond on one side makes every link with the scale fail at once.
        await scale.measure({"weight": 80.0})
        await scale.forget_bond()
        failing = asyncio.create_task(scale.measure({"weight": 81.0}))
        await until(lambda: gateway.health.endings["no_link"] >= 2)
        report = await cuff.measure(PRESSURE)
        assert report.delivered
        failing.cancel()
        await asyncio.wait({failing})


async def test_a_forgotten_bond_is_never_made_anew_in_silence() -> None:
    async with listening("cuff", window_s=1.5) as gateway:
        cuff = gateway.home.devices["cuff"]
        await cuff.measure(PRESSURE)
        await cuff.forget_bond()
        with capture_logs() as logs:
            report = await cuff.measure(PRESSURE)
        assert not report.delivered
        assert not await cuff.is_bonded()
        assert len(gateway.journal.values("2A35")) == 1
        ended = [entry for entry in logs if entry["event"] == "device_link_ended"]
        assert ended
        assert all(entry["ending"] == "no_link" and entry["cause"] for entry in ended)
        assert 1 < len(ended) < 6, "it tries again, ever less often"


async def test_a_profile_nobody_knows_is_said_and_does_not_stop_the_others() -> None:
    async with listening("scale") as gateway:
        cuff = gateway.home.devices["cuff"]
        gateway.paired.append(PairedDevice(cuff.address, cuff.model, "unheard-of"))
        cuff.window_s = 0.5
        with capture_logs() as logs:
            assert not (await cuff.measure(PRESSURE)).delivered
            assert (await gateway.home.devices["scale"].measure({"weight": 80.0})).delivered
        assert "device_profile_unknown" in {entry["event"] for entry in logs}


async def test_logs_hold_neither_values_nor_names() -> None:
    with capture_logs() as logs:
        async with listening("cuff") as gateway:
            await gateway.home.devices["cuff"].measure(PRESSURE)
            await until(lambda: gateway.health.endings.total() == 1)
    assert {entry["event"] for entry in logs} >= {
        "device_heard",
        "device_clock_read",
        "device_link_ended",
    }
    for entry in logs:
        assert not {"raw", "systolic", "name"} & set(entry)


async def test_cancelling_in_the_middle_of_a_link_hangs_up_and_stops_scanning() -> None:
    before = len(asyncio.all_tasks())
    async with listening("oximeter") as gateway:
        oximeter = gateway.home.devices["oximeter"]
        measuring = asyncio.create_task(oximeter.measure({"spo2": 94, "pulse": 66}))
        await until(lambda: bool(gateway.journal.rows))
        gateway.task.cancel()
        await asyncio.wait({gateway.task}, timeout=3)
        assert gateway.task.cancelled()
        assert gateway.home.central.device.connections == {}
        assert not gateway.home.central.device.is_scanning
        measuring.cancel()
        await asyncio.wait({measuring})
    assert len(asyncio.all_tasks()) == before


def fast_clock() -> ClockReading:
    """A clock fifty times too fast, for what takes seconds."""
    return ClockReading(datetime.now(UTC), "ntp", int(time.monotonic() * 50_000))


async def test_a_device_that_stays_silent_on_the_link_is_hung_up_on() -> None:
    async with listening("cuff", clock=fast_clock) as gateway:
        cuff = gateway.home.devices["cuff"]
        cuff.design = replace(cuff.design, hang_up_after_s=60.0)
        report = await cuff.measure(PRESSURE)
        assert report.delivered
        await until(lambda: gateway.health.endings["quiet"] == 1)


async def test_a_read_that_gets_no_answer_does_not_cost_the_value() -> None:
    limits = replace(QUICK, step_s=0.3)
    async with listening("cuff", limits=limits) as gateway:
        cuff = gateway.home.devices["cuff"]
        # No level can be encoded, so the virtual device never answers.
        cuff.battery_percent = -1
        assert (await cuff.measure(PRESSURE)).delivered
        assert gateway.journal.values("2A19") == []


async def test_a_silent_radio_is_scanned_with_anew() -> None:
    with capture_logs() as logs:
        async with listening("cuff", health=RadioHealth(deaf_after_s=0.1)) as gateway:
            await until(lambda: any(entry["event"] == "scan_restarted" for entry in logs))
            assert gateway.health.state() == "ok"
            assert (await gateway.home.devices["cuff"].measure(PRESSURE)).delivered


async def test_a_radio_that_heard_much_and_then_nothing_is_deaf() -> None:
    async with listening("scale", health=RadioHealth(deaf_after_s=0.15)) as gateway:
        cuff = gateway.home.devices["cuff"]
        cuff.window_s = 1.0
        await cuff.measure(PRESSURE)
        await until(lambda: gateway.health.state() == "deaf")
        assert gateway.health.resets >= 1
        await cuff.wake()
        assert gateway.health.state() == "ok"


class _NoRadio(BaseBleakScanner):
    starts = 0

    def __init__(
        self,
        detection_callback: AdvertisementDataCallback | None,
        service_uuids: list[str] | None,
        scanning_mode: str,
        **_platform: object,
    ) -> None:
        super().__init__(detection_callback, service_uuids)

    async def start(self) -> None:
        type(self).starts += 1
        raise BleakBluetoothNotAvailableError("", BleakBluetoothNotAvailableReason.NO_BLUETOOTH)

    async def stop(self) -> None:
        """Never started."""


async def test_without_a_radio_it_says_so_and_goes_on_trying() -> None:
    health = RadioHealth()
    health.started(0.0)
    with capture_logs() as logs:
        task = asyncio.create_task(
            listen(
                radio=Radio(scanner_backend=_NoRadio),
                paired=list,
                journal=MemoryJournal(),
                clock=SystemClock(synchronised=lambda: True).read,
                health=health,
            )
        )
        await until(lambda: _NoRadio.starts >= 2)
        task.cancel()
        await asyncio.wait({task})
    assert health.state() == "absent"
    assert logs[0]["event"] == "radio_absent"
