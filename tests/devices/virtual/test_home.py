"""bleak's own interface over the virtual link, and a home that leaves nothing behind."""

import asyncio
import gc
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from bleak import BleakClient, BleakScanner
from bleak.backends.client import BaseBleakClient
from bleak.exc import BleakError, BleakGATTProtocolError, BleakGATTProtocolErrorCode
from bumble.device import Connection

from devices.gatt import date_time, plx
from devices.virtual.device import VirtualDevice
from devices.virtual.home import VirtualHome, addresses
from devices.virtual.indication import RECORDS_MAX

PRESSURE = {"systolic": 128, "diastolic": 79, "pulse": 66}


async def find(home: VirtualHome, device: VirtualDevice) -> BleakClient:
    found = await BleakScanner.find_device_by_address(
        device.address, timeout=3, backend=home.scanner_backend
    )
    assert found is not None
    return BleakClient(found, backend=home.client_backend, timeout=2)


async def fetch(home: VirtualHome, device: VirtualDevice) -> list[bytes]:
    """One plain session: link, pair, subscribe, wait for the hang-up."""
    got: list[bytes] = []
    async with await find(home, device) as client:
        await client.pair()
        await client.start_notify(
            device.design.measurement.lower(), lambda _sender, data: got.append(bytes(data))
        )
        async with asyncio.timeout(3):
            while client.is_connected:  # noqa: ASYNC110 - bleak offers no event for it here
                await asyncio.sleep(0.005)
    return got


async def stop(task: "asyncio.Task[object]") -> None:
    task.cancel()
    await asyncio.wait({task})


def test_addresses_come_from_the_seed_and_are_static() -> None:
    assert addresses(3) == addresses(3)
    assert addresses(3) != addresses(4)
    assert len(set(addresses(3))) == 5
    assert all(int(address[:2], 16) >= 0xC0 for address in addresses(3))


async def test_the_scanner_filters_by_service() -> None:
    async with VirtualHome(window_s=2) as home:
        measuring = [
            asyncio.create_task(device.measure(values))
            for device, values in (
                (home.devices["cuff"], PRESSURE),
                (home.devices["scale"], {"weight": 70.0}),
            )
        ]
        found = await BleakScanner.discover(
            timeout=0.3,
            return_adv=True,
            service_uuids=["0000181d-0000-1000-8000-00805f9b34fb"],
            backend=home.scanner_backend,
        )
        assert list(found) == [home.devices["scale"].address]
        _, advertised = found[home.devices["scale"].address]
        assert advertised.local_name == "A&D_UC-352BLE_V1"
        for task in measuring:
            await stop(task)
        await BleakScanner(backend=home.scanner_backend).stop()


async def test_nothing_works_on_an_unencrypted_link_with_the_cuff() -> None:
    async with VirtualHome(window_s=3) as home:
        cuff = home.devices["cuff"]
        measuring = asyncio.create_task(cuff.measure(PRESSURE))
        async with await find(home, cuff) as client:
            for attempt in (
                client.read_gatt_char("2a08"),
                client.write_gatt_char("2a08", date_time.encode(None), response=True),
                client.start_notify("2a35", lambda _sender, _data: None),
            ):
                with pytest.raises(BleakGATTProtocolError) as refused:
                    await attempt
                assert refused.value.code is BleakGATTProtocolErrorCode.INSUFFICIENT_ENCRYPTION
            assert client.mtu_size > 23
            assert client.name == cuff.address
        await stop(measuring)


async def test_a_refused_subscription_leaves_nothing_behind() -> None:
    async with VirtualHome(window_s=3) as home:
        cuff = home.devices["cuff"]
        measuring = asyncio.create_task(cuff.measure(PRESSURE))
        got: list[bytes] = []
        async with await find(home, cuff) as client:
            with pytest.raises(BleakGATTProtocolError):
                await client.start_notify("2a35", lambda _sender, data: got.append(bytes(data)))
            await client.pair()
            await client.start_notify("2a35", lambda _sender, data: got.append(bytes(data)))
            assert (await measuring).delivered
        assert len(got) == 1


async def test_a_bonded_cuff_bonds_with_nobody_else_unless_its_button_is_held() -> None:
    async with VirtualHome(window_s=3) as home:
        cuff = home.devices["cuff"]
        measuring = asyncio.create_task(cuff.measure(PRESSURE))
        assert len(await fetch(home, cuff)) == 1
        await measuring
        client = await _lost_bond(home, cuff)
        with pytest.raises(BleakError):
            await client.pair()
        await client.disconnect()
        cuff.pairing_mode = True
        measuring = asyncio.create_task(cuff.measure(PRESSURE))
        assert await fetch(home, cuff)
        await measuring


async def _lost_bond(home: VirtualHome, cuff: VirtualDevice) -> BleakClient:
    """A client whose side has no bond, linked to a cuff that has one."""
    waking = asyncio.create_task(cuff.measure(PRESSURE))
    client = await find(home, cuff)
    await client.connect()
    await client.unpair()
    assert not client.is_connected
    await client.connect()
    await asyncio.sleep(0)
    waking.cancel()
    return client


async def test_pairing_may_be_asked_for_at_connect() -> None:
    async with VirtualHome(window_s=3) as home:
        cuff = home.devices["cuff"]
        measuring = asyncio.create_task(cuff.measure(PRESSURE))
        found = await BleakScanner.find_device_by_address(
            cuff.address, backend=home.scanner_backend
        )
        assert found is not None
        for _ in ("bonds", "uses the bond"):
            async with BleakClient(found, pair=True, backend=home.client_backend) as client:
                assert await client.read_gatt_char("2a08")
                await client.pair()
                assert await cuff.is_bonded()
        await stop(measuring)


async def test_a_device_that_is_not_there_times_out_and_others_can_be_linked_after() -> None:
    async with VirtualHome(window_s=3) as home:
        scale, cuff = home.devices["scale"], home.devices["cuff"]
        absent = BleakClient(scale.address, backend=home.client_backend, timeout=0.2)
        assert absent.mtu_size == 23
        with pytest.raises(TimeoutError):
            await absent.connect()
        measuring = asyncio.create_task(cuff.measure(PRESSURE))
        assert len(await fetch(home, cuff)) == 1
        await measuring


async def test_a_link_left_over_is_ended_before_another_is_made() -> None:
    async with VirtualHome(window_s=5) as home:
        thermometer = home.devices["thermometer"]
        measuring = asyncio.create_task(thermometer.measure({"temperature": 36.6}))
        forgotten = await find(home, thermometer)
        await forgotten.connect()
        client = BleakClient(thermometer.address, backend=home.client_backend, timeout=2)
        await client.connect()
        assert not forgotten.is_connected
        assert client.is_connected
        await client.disconnect()
        await stop(measuring)


async def test_one_radio_makes_one_link_at_a_time() -> None:
    async with VirtualHome(window_s=5) as home:
        first, second = (
            BleakClient(home.devices[name].address, backend=home.client_backend, timeout=0.5)
            for name in ("cuff", "scale")
        )
        waiting = asyncio.create_task(first.connect())
        await asyncio.sleep(0.1)
        with pytest.raises(BleakError, match="pending"):
            await second.connect()
        await asyncio.wait({waiting})
        assert isinstance(waiting.exception(), TimeoutError)


async def test_an_unknown_time_does_not_set_the_clock() -> None:
    async with VirtualHome(window_s=5) as home:
        oximeter = home.devices["oximeter"]
        before = oximeter.clock_offset
        measuring = asyncio.create_task(oximeter.measure({"spo2": 97, "pulse": 58}))
        async with await find(home, oximeter) as client:
            await client.write_gatt_char("2a08", date_time.encode(None), response=True)
            assert oximeter.clock_offset == before
        await stop(measuring)


async def test_two_measurements_in_a_row_go_over_one_link() -> None:
    async with VirtualHome(window_s=5) as home:
        scale = home.devices["scale"]
        both = asyncio.gather(scale.measure({"weight": 70.0}), scale.measure({"weight": 70.1}))
        assert len(await fetch(home, scale)) == 2
        first, second = await both
        assert first.delivered
        assert second.delivered
        assert (first.attempts, second.attempts) == (1, 0)


async def test_what_the_backend_does_not_offer_it_says() -> None:
    async with VirtualHome(window_s=3) as home:
        thermometer = home.devices["thermometer"]
        measuring = asyncio.create_task(thermometer.measure({"temperature": 36.6}))
        client = await find(home, thermometer)
        backend = home.client_backend(thermometer.address, disconnected_callback=None, timeout=1)
        with pytest.raises(BleakError, match="not connected"):
            await backend.pair()
        await _offers_no_descriptors(backend)
        await client.connect()
        assert (await client.read_gatt_char("2a24")).decode() == thermometer.model
        await client.start_notify("2a1c", lambda _sender, _data: None)
        await client.stop_notify("2a1c")
        await client.disconnect()
        await stop(measuring)


async def _offers_no_descriptors(backend: BaseBleakClient) -> None:
    with pytest.raises(BleakError, match="descriptors"):
        await backend.read_gatt_descriptor(None)  # type: ignore[arg-type]
    with pytest.raises(BleakError, match="descriptors"):
        await backend.write_gatt_descriptor(None, b"")  # type: ignore[arg-type]


async def test_the_clock_is_wrong_until_set_and_no_two_records_share_a_second() -> None:
    now = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
    async with VirtualHome(window_s=0.02, utc=lambda: now) as home:
        oximeter = home.devices["oximeter"]
        oximeter.clock_offset = timedelta(minutes=-10)
        for _ in range(3):
            assert not (await oximeter.measure({"spo2": 96, "pulse": 60})).delivered
        stamps = [plx.decode(record.raw).device_time for record in oximeter.undelivered]
        assert [stamp and stamp.strftime("%H:%M:%S") for stamp in stamps] == [
            "08:50:00",
            "08:50:01",
            "08:50:02",
        ]
        earlier = now - timedelta(hours=5)
        await oximeter.measure({"spo2": 96, "pulse": 60}, at=earlier)
        assert plx.decode(oximeter.undelivered[-1].raw).device_time == oximeter.device_time(earlier)


async def test_the_oldest_record_goes_when_the_memory_is_full() -> None:
    async with VirtualHome(window_s=0.0) as home:
        scale = home.devices["scale"]
        for n in range(RECORDS_MAX + 3):
            await scale.measure({"weight": 60 + n / 10})
        assert len(scale.undelivered) == RECORDS_MAX


async def test_fifty_sessions_leave_neither_tasks_nor_memory_behind() -> None:
    before = len(asyncio.all_tasks())
    async with VirtualHome(window_s=5) as home:
        cuff = home.devices["cuff"]
        cuff.design = replace(cuff.design, hang_up_after_s=0.0)

        async def sessions(count: int) -> int:
            for _ in range(count):
                measuring = asyncio.create_task(cuff.measure(PRESSURE))
                assert len(await fetch(home, cuff)) == 1
                assert (await measuring).delivered
            gc.collect()
            return len(gc.get_objects())

        # Bumble's and the loop's own tables fill up at first; a leak would go on growing.
        warm = await sessions(25)
        grown = await sessions(25) - warm
        links = sum(isinstance(one, Connection) for one in gc.get_objects())
        assert len(asyncio.all_tasks()) == before
        assert links <= 4, "links that are over are forgotten"
        assert grown < 25, f"{grown} more objects after 25 sessions"
    assert len(asyncio.all_tasks()) == before
