"""A recorded device, played to the gateway: the bytes of the trace come out again."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from io import BytesIO

import pytest
from bumble.snoop import BtSnooper

from devices.gatt import blood_pressure
from devices.trace import recording
from devices.trace.recording import Recording, Service, Slot, Step, Trigger
from devices.trace.telling import only_device, tell
from devices.virtual.home import VirtualHome
from devices.virtual.recorded import design_of
from tests.devices.trace.fix_traces import BTMON, CUFF, THERMOMETER
from tests.gateway.ble.fix_home import listening, until

VALUES = {"systolic": 128.0, "diastolic": 82.0, "mean": 97.0, "pulse": 66.0}


def from_btmon(address: str, *, keep_values: bool = True) -> Recording:
    device = only_device(tell(BTMON.read_bytes()), address)
    return recording.record(device, keep_values=keep_values)


async def heard(recorded: Recording, characteristic: str, count: int) -> list[bytes]:
    """Play ``recorded`` to a listening gateway; return what it journaled."""
    async with listening() as gateway:
        device = await gateway.home.place.add(design_of(recorded))
        gateway.pair(device)
        for _ in range(count):
            await device.wake()
        # What was indicated is journaled before it is confirmed.
        return gateway.journal.values(characteristic)


async def test_a_cuff_that_btmon_recorded_is_read_by_the_gateway() -> None:
    assert await heard(from_btmon(CUFF), "2A35", 2) == [
        bytes.fromhex("1680004f005f00ea070b1611220542000000"),
        bytes.fromhex("1696005b005f00ea070b1611220642000000"),
    ]


async def test_with_invented_values_it_sends_others_in_the_same_layout() -> None:
    recorded = from_btmon(CUFF, keep_values=False)
    first, second = await heard(recorded, "2A35", 2)
    assert first.hex() == recorded.sessions[0][0].raw
    assert first != second
    one = blood_pressure.decode(first)
    assert [sample.value for sample in one.samples[:2]] == [129, 83]


async def test_its_last_session_is_played_for_ever() -> None:
    values = await heard(from_btmon(THERMOMETER), "2A1C", 3)
    assert values == [bytes.fromhex("04760100ff03")] * 3


async def test_a_virtual_cuff_traced_by_bumble_comes_back_byte_for_byte() -> None:
    output = BytesIO()
    async with listening("cuff") as gateway:
        gateway.home.central.device.host.snooper = BtSnooper(output)
        cuff = gateway.home.devices["cuff"]
        for systolic in (128.0, 151.0):
            assert (await cuff.measure({**VALUES, "systolic": systolic})).delivered
        sent = gateway.journal.values("2A35")
        address, design = cuff.address, cuff.design
    device = only_device(tell(output.getvalue()), address)
    recorded = recording.record(device, keep_values=True)
    assert (recorded.name, recorded.must_bond) == (design.local_name, True)
    assert design_of(recorded).profile == design.profile
    assert await heard(recorded, "2A35", 2) == sent


# By itself --------------------------------------------------------------------------------------

PLAIN = Recording(
    name="",
    model="Meter 7",
    manufacturer="",
    advertises=(),
    services=(
        Service(
            "1808",
            (
                Slot("2A18", ("notify", "odd")),
                Slot("2A52", ("write", "indicate")),
                Slot("2A51", ("read",), "0304"),
            ),
        ),
    ),
    must_bond=False,
    sessions=(
        (
            Step(Trigger.WROTE, "2A52", 0.0, "2A18", "020700ea070b16070c0064b011"),
            Step(Trigger.WROTE, "2A52", 0.0, "2A52", "06000101"),
        ),
    ),
    values_kept=True,
)


async def test_records_are_sent_when_they_are_asked_for() -> None:
    async with listening() as gateway:
        device = await gateway.home.place.add(design_of(PLAIN))
        gateway.pair(device)
        waking = asyncio.ensure_future(device.wake())
        await until(lambda: bool(gateway.journal.values("2A18")))
        waking.cancel()
        await asyncio.wait({waking})
    assert gateway.journal.values("2A18") == [bytes.fromhex("020700ea070b16070c0064b011")]


@pytest.mark.parametrize("trigger", [Trigger.ENCRYPTED, Trigger.CONNECTED])
async def test_what_came_without_being_asked_for_waits_for_a_listener(trigger: Trigger) -> None:
    unread = Step(trigger, "", 0.0, "2A35", "ffff")
    value = Step(trigger, "", 0.0, "2A35", "007800500000 00".replace(" ", ""))
    slots = (Slot("2A35", ("indicate",)), Slot("2A49", ("read",), "0000"))
    recorded = replace(
        PLAIN,
        services=(Service("1810", slots),),
        sessions=((unread, value, Step(trigger, "", 0.0)),),
        must_bond=trigger is Trigger.ENCRYPTED,
    )
    design = design_of(recorded, "a-and-d-blood-pressure" if recorded.must_bond else None)
    assert design.kinds == ("blood_pressure", "battery")
    async with listening() as gateway:
        device = await gateway.home.place.add(design)
        gateway.pair(device)
        await device.wake()
        assert gateway.journal.values("2A35") == [b"\xff\xff", bytes.fromhex(value.raw)]
        assert device.read("2A49") is None


async def test_a_device_whose_trace_has_no_value_stays_until_the_other_side_hangs_up() -> None:
    async with listening() as gateway:
        device = await gateway.home.place.add(design_of(replace(PLAIN, sessions=())))
        gateway.pair(device)
        waking = asyncio.ensure_future(device.wake())
        await until(lambda: device.links == 1)
        waking.cancel()
        await asyncio.wait({waking})
    assert gateway.journal.values("2A18") == []


def test_a_design_says_what_it_is() -> None:
    design = design_of(PLAIN)
    assert (design.model, design.local_name, design.service) == ("Meter 7", "Meter 7", "1808")
    assert design.kinds == ("glucose", "battery")
    assert design.profile == "sig-glucose"
    assert design_of(PLAIN, "contour").profile == "contour"
    odd = replace(PLAIN, services=(Service("fff0", (Slot("fff1", ("notify",)),)),), sessions=())
    with pytest.raises(ValueError, match="say one"):
        design_of(odd)
    assert design_of(odd, "sig-glucose").measurement == "fff1"


async def test_it_measures_nothing_by_itself() -> None:
    async with VirtualHome() as home:
        device = await home.place.add(design_of(PLAIN))
        with pytest.raises(ValueError, match="wake it"):
            await device.measure({"glucose": 5.5})
        with pytest.raises(ValueError, match="wake it"):
            device.design.encode({}, None)
