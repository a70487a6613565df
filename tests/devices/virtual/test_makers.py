"""Virtual devices that speak their makers' own words, to a plain host."""

import pytest
from bleak.exc import BleakError

from devices import gatt
from devices.gatt import nonin_oximetry, taidoc
from devices.gatt.taidoc import Command, Frame
from devices.virtual import taidoc as virtual_taidoc
from devices.virtual.faults import Faults
from devices.virtual.home import VirtualHome
from tests.devices.virtual.fix_visit import PLAIN, Heard, awake, bring, linked


async def ask(host: Heard, command: Command, body: bytes = bytes(4)) -> Frame:
    question = taidoc.encode_frame(Frame(command, body))
    return taidoc.read_frame(await host.ask(taidoc.CHARACTERISTIC, question))


async def test_a_meter_answers_what_it_is_asked_and_forgets_nothing() -> None:
    async with VirtualHome(window_s=5) as home:
        meter = await bring(home, "taidoc_cuff")
        meter.store(PLAIN["taidoc_cuff"])
        async with awake(meter), linked(home, meter, pair=False) as host:
            await host.subscribe(taidoc.CHARACTERISTIC)
            assert taidoc.read_model((await ask(host, Command.MODEL)).body) == "3128"
            assert (await ask(host, Command.RECORD_COUNT)).body == bytes((1, 0, 0, 0))
            shown = taidoc.read_stamp((await ask(host, Command.CLOCK)).body).time
            assert shown == meter.device_time().replace(second=0)
            assert meter.undelivered
            value = await ask(host, Command.RECORD_VALUE)
            assert value.body == bytes((128, 95, 79, 66))
            assert meter.undelivered, "nobody said yet that it was read through"
            assert (await ask(host, Command.RECORD_VALUE)).body == value.body
            await ask(host, Command.TURN_OFF)
            await host.over()
        assert meter.undelivered == []


async def test_a_meter_that_is_asked_no_more_hangs_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(virtual_taidoc, "ASKED_AGAIN_WITHIN_S", 0.05)
    async with VirtualHome(window_s=5) as home:
        meter = await bring(home, "taidoc_cuff")
        async with awake(meter), linked(home, meter, pair=False) as host:
            await host.subscribe(taidoc.CHARACTERISTIC)
            await ask(host, Command.MODEL)
            await host.over()


async def test_a_meter_with_no_clock_of_its_own_says_so() -> None:
    async with VirtualHome(window_s=5) as home:
        meter = await bring(home, "taidoc_cuff", Faults(clock_absent=True))
        async with awake(meter), linked(home, meter, pair=False) as host:
            await host.subscribe(taidoc.CHARACTERISTIC)
            assert (await ask(host, Command.CLOCK)).body == bytes(4)


async def test_an_oximeter_sends_each_second_and_stops_when_it_is_told() -> None:
    async with VirtualHome(window_s=5) as home:
        oximeter = await bring(home, "nonin_oximeter")
        oximeter.store({**PLAIN["nonin_oximeter"], "ticks": 100})
        async with awake(oximeter), linked(home, oximeter) as host:
            await host.subscribe(nonin_oximetry.CHARACTERISTIC)
            await host.until(5, nonin_oximetry.CHARACTERISTIC)
            frames = [
                nonin_oximetry.read_frame(raw) for raw in host.of(nonin_oximetry.CHARACTERISTIC)
            ]
            assert [frame.is_qualified for frame in frames[:5]] == [False] * 3 + [True] * 2
            pair = b"".join(host.of(nonin_oximetry.CHARACTERISTIC)[3:5])
            assert isinstance(gatt.decode(nonin_oximetry.CHARACTERISTIC, pair), gatt.Reading)
            complete = b"\x62NMI"
            await host.client.write_gatt_char(nonin_oximetry.CONTROL_POINT, complete, response=True)
            await host.over()
        assert len(host.of(nonin_oximetry.CHARACTERISTIC)) < 50


async def test_neither_takes_what_is_not_its_own() -> None:
    async with VirtualHome(window_s=5) as home:
        for what in ("taidoc_cuff", "nonin_oximeter"):
            device = await bring(home, what)
            assert device.behaviour.read("2A19") is None
            async with awake(device), linked(home, device) as host:
                with pytest.raises(BleakError):
                    await host.client.write_gatt_char("2a19", b"\x01", response=True)
                assert device.visit is not None
                assert not device.behaviour.write("2A08", bytes(7), device.visit)
