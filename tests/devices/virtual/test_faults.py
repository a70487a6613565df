"""Each fault shows its effect to a plain host, and goes when it is switched off."""

import asyncio
import math
from datetime import UTC, datetime, timedelta

import pytest
from bleak.exc import BleakError, BleakGATTProtocolError, BleakGATTProtocolErrorCode
from bumble import gatt_client
from bumble.gatt import GATT_SERVICE_CHANGED_CHARACTERISTIC

from devices import gatt
from devices.gatt import current_time, date_time, record_access
from devices.gatt.record_access import ByNumber, Count, Op, Operator, Request, Response, Result
from devices.virtual.device import VirtualDevice
from devices.virtual.faults import NO_FAULTS, Faults
from devices.virtual.home import VirtualHome
from tests.devices.virtual.fix_visit import PLAIN, Heard, awake, bring, linked

ALL = record_access.encode(Request(Op.REPORT_RECORDS, Operator.ALL))
FROM_300 = record_access.encode(
    Request(Op.REPORT_RECORDS, Operator.GREATER_OR_EQUAL, ByNumber(minimum=300))
)
COUNT = record_access.encode(Request(Op.COUNT_RECORDS, Operator.ALL))


async def stored(home: VirtualHome, what: str, count: int = 1, **faults: object) -> VirtualDevice:
    """A device with some records that nobody has fetched."""
    device = await bring(home, what, Faults(**faults))  # type: ignore[arg-type]
    for _ in range(count):
        device.store(PLAIN[what])
    return device


async def fetched(home: VirtualHome, device: VirtualDevice, *, pair: bool | None = None) -> Heard:
    """One plain session to its end, whoever ends it."""
    pair = device.design.must_bond if pair is None else pair
    async with linked(home, device, pair=pair) as host:
        await host.subscribe(device.design.measurement)
        await host.over()
    return host


def test_the_switches_that_are_on_are_listed() -> None:
    assert NO_FAULTS.names() == ()
    faults = Faults(nan_values=True, slow_answers_s=1.0)
    assert set(faults.names()) == {"slow_answers_s", "nan_values"}


async def test_a_short_window() -> None:
    async with VirtualHome(window_s=5) as home:
        device = await bring(home, "cuff", Faults(window_s=0.02))
        report = await device.measure(PLAIN["cuff"])
        assert (report.delivered, report.attempts) == (False, 0)


async def test_a_bond_required_of_a_device_that_needs_none() -> None:
    async with VirtualHome(window_s=5) as home:
        device = await stored(home, "plain_cuff", bond_required=True)
        async with awake(device), linked(home, device, pair=False) as host:
            with pytest.raises(BleakGATTProtocolError) as refused:
                await host.subscribe("2A35")
            assert refused.value.code is BleakGATTProtocolErrorCode.INSUFFICIENT_ENCRYPTION
            await host.client.pair()
            await host.subscribe("2A35")
            await host.until(1, "2A35")


async def test_digits_of_the_tests_choice() -> None:
    async with VirtualHome(window_s=5) as home:
        device = await stored(home, "cuff", passkey=123456)
        typed: list[int | None] = []
        by_default = home.operator

        async def operator(address: str) -> int | None:
            typed.append(await by_default(address))
            return typed[-1]

        home.operator = operator
        async with awake(device):
            assert (await fetched(home, device)).values
        assert typed == [123456]


async def test_no_bond_outside_pairing_mode() -> None:
    async with VirtualHome(window_s=5) as home:
        device = await stored(home, "cuff", needs_pairing_mode=True)
        async with awake(device):
            with pytest.raises(BleakError):
                async with linked(home, device):
                    pass
            device.pairing_mode = True
            assert (await fetched(home, device)).values


async def test_a_forgotten_bond() -> None:
    async with VirtualHome(window_s=5) as home:
        device = await stored(home, "cuff")
        async with awake(device):
            await fetched(home, device)
        device.store(PLAIN["cuff"])
        device.switch(forgets_bond=True)
        async with awake(device):
            with pytest.raises(BleakError):
                async with linked(home, device, pair=False):
                    pass
        assert not device.faults.names()
        assert len(device.undelivered) == 1


async def test_a_remembered_subscription_loses_the_value_of_who_subscribes_late() -> None:
    async with VirtualHome(window_s=30) as home:
        device = await stored(home, "cuff")
        async with awake(device):
            await fetched(home, device)
        device.store(PLAIN["cuff"])
        device.switch(remembers_subscription=True)
        async with awake(device), linked(home, device, pair=False) as host:
            async with asyncio.timeout(20):
                while device.undelivered:  # noqa: ASYNC110 - a plain list
                    await asyncio.sleep(0.005)
            assert host.values == [], "confirmed by the stack, heard by nobody"
        assert len(device.confirmed) == 2


@pytest.mark.parametrize("error", [timedelta(hours=1), timedelta(days=-365)])
async def test_a_wrong_clock_until_it_is_set(error: timedelta) -> None:
    async with VirtualHome(window_s=5) as home:
        device = await bring(home, "cuff")
        right = device.device_time()
        device.switch(clock_error=error)
        device.store(PLAIN["cuff"])
        async with awake(device), linked(home, device) as host:
            told = date_time.read(bytes(await host.client.read_gatt_char("2a08")))
            assert told is not None
            assert abs(told - right - error) < timedelta(seconds=5)
            await host.client.write_gatt_char("2a08", date_time.encode(right), response=True)
            assert abs(device.device_time() - right) < timedelta(seconds=5)
            await host.subscribe("2A35")
            await host.until(1, "2A35")
        [value] = host.measurements("2A35")
        assert value.device_time is not None
        assert abs(value.device_time - right - error) < timedelta(seconds=5)


@pytest.mark.parametrize(("what", "clock"), [("cuff", "2a08"), ("two_user_cuff", "2a2b")])
async def test_a_clock_that_was_never_set(what: str, clock: str) -> None:
    async with VirtualHome(window_s=5) as home:
        device = await stored(home, what, clock_absent=True)
        async with awake(device), linked(home, device) as host:
            codec = date_time if clock == "2a08" else current_time
            assert codec.read(bytes(await host.client.read_gatt_char(clock))) is None
            await host.subscribe("2A35")
            await host.until(1, "2A35")
        [value] = host.measurements("2A35")
        assert value.device_time is None
        assert "device_time_unknown" in value.flags


async def test_a_clock_that_nobody_may_set() -> None:
    async with VirtualHome(window_s=5) as home:
        device = await stored(home, "cuff", refuses_clock=True)
        async with awake(device), linked(home, device) as host:
            with pytest.raises(BleakGATTProtocolError) as refused:
                await host.client.write_gatt_char("2a08", date_time.encode(None), response=True)
            assert refused.value.code is BleakGATTProtocolErrorCode.WRITE_NOT_PERMITTED


async def test_records_sent_again_at_each_link() -> None:
    async with VirtualHome(window_s=5) as home:
        device = await stored(home, "plain_cuff", 3)
        async with awake(device):
            first = await fetched(home, device)
        device.switch(duplicate_records=2)
        device.store({"systolic": 150, "diastolic": 90})
        async with awake(device):
            again = await fetched(home, device)
        assert again.of("2A35")[:2] == first.of("2A35")[1:]
        assert len(again.of("2A35")) == 3
        assert list(device.confirmed) == first.of("2A35") + again.of("2A35")


@pytest.mark.parametrize("what", ["cuff", "scale", "thermometer", "oximeter", "body_composition"])
async def test_a_measurement_that_failed(what: str) -> None:
    async with VirtualHome(window_s=5) as home:
        values = {name: value for name, value in PLAIN[what].items() if name != "user"}
        device = await bring(home, what, Faults(nan_values=True))
        device.store(values)
        async with awake(device):
            host = await fetched(home, device)
        assert "measurement_failed" in host.measurements(device.design.measurement)[0].flags


@pytest.mark.parametrize("what", ["glucose_meter", "cgm"])
async def test_a_failed_record_is_a_record(what: str) -> None:
    async with VirtualHome(window_s=5) as home:
        device = await bring(home, what, Faults(nan_values=True))
        device.store({"glucose": 5.0})
        async with awake(device), linked(home, device) as host:
            await host.subscribe("2A52", device.design.measurement)
            await host.ask("2A52", ALL)
        assert "measurement_failed" in host.measurements(device.design.measurement)[0].flags


@pytest.mark.parametrize(
    ("what", "name"), [("glucose_meter", "meal"), ("two_user_cuff", "user"), ("scale", "user")]
)
@pytest.mark.parametrize("said", [2.0, math.nan])
async def test_what_stands_beside_a_failed_value(what: str, name: str, said: float) -> None:
    async with VirtualHome(window_s=5) as home:
        device = await bring(home, what, Faults(nan_values=True))
        raw = device.store({**PLAIN[what], name: said}).raw
    decoded = gatt.decode(device.design.measurement, raw)
    assert isinstance(decoded, gatt.Reading)
    assert "measurement_failed" in decoded.measurements[0].flags


async def test_a_strap_on_the_table() -> None:
    async with VirtualHome(window_s=5) as home:
        device = await bring(home, "heart_rate", Faults(nan_values=True))
        device.store({"heart_rate": 70.0})
        async with awake(device):
            host = await fetched(home, device)
        assert all("no_skin_contact" in one.flags for one in host.measurements("2A37"))


@pytest.mark.parametrize(("user", "told"), [(2, 2), (255, None)])
async def test_another_user(user: int, told: int | None) -> None:
    async with VirtualHome(window_s=5) as home:
        device = await stored(home, "two_user_cuff", other_user=user)
        async with awake(device):
            host = await fetched(home, device)
        assert host.measurements("2A35")[0].context.get("user_index") == told


async def test_a_low_battery() -> None:
    async with VirtualHome(window_s=5) as home:
        device = await stored(home, "plain_cuff", battery_percent=4)
        async with awake(device), linked(home, device, pair=False) as host:
            assert bytes(await host.client.read_gatt_char("2a19")) == b"\x04"


async def test_a_link_lost_half_way_goes_on_with_the_rest() -> None:
    async with VirtualHome(window_s=5) as home:
        device = await stored(home, "plain_cuff", 5, lose_link_after=2)
        async with awake(device):
            links = [await fetched(home, device) for _ in range(3)]
        assert [len(host.values) for host in links] == [2, 2, 1]
        assert [raw for host in links for raw in host.of("2A35")] == list(device.confirmed)


async def test_a_link_lost_amid_records_confirms_none() -> None:
    async with VirtualHome(window_s=5) as home:
        device = await stored(home, "glucose_meter", 5, lose_link_after=2)
        async with awake(device):
            async with linked(home, device) as host:
                await host.subscribe("2A52", "2A18")
                await host.client.write_gatt_char("2a52", ALL, response=True)
                await host.over()
            assert len(host.of("2A18")) == 2
            assert not device.confirmed
            assert len(device.undelivered) == 5
            device.switch_off("lose_link_after")
            async with linked(home, device) as host:
                await host.subscribe("2A52", "2A18")
                await host.ask("2A52", ALL)
                await host.over()
        assert len(device.confirmed) == 5


@pytest.mark.parametrize("what", ["plain_cuff", "glucose_meter"])
async def test_a_confirmation_lost_means_the_same_again(what: str) -> None:
    async with VirtualHome(window_s=5) as home:
        device = await stored(home, what, 1, lose_confirmation=True)
        uuid = device.design.measurement
        async with awake(device):
            values: list[bytes] = []
            for _ in range(2):
                async with linked(home, device, pair=device.design.must_bond) as host:
                    await host.subscribe(uuid)
                    if what == "glucose_meter":
                        await host.subscribe("2A52")
                        await host.client.write_gatt_char("2a52", ALL, response=True)
                    await host.over()
                values += host.of(uuid)
        assert len(values) == 2
        assert len(set(values)) == 1
        assert list(device.confirmed) == values[:1]


async def test_services_incomplete_once_then_changed() -> None:
    async with VirtualHome(window_s=5) as home:
        device = await stored(home, "plain_cuff", services_incomplete=True)
        async with awake(device):
            async with linked(home, device, pair=False) as host:
                assert host.client.services.get_characteristic("2a35") is None
                assert host.client.services.get_characteristic("2a19") is not None
            async with linked(home, device, pair=False) as host:
                changed = str(GATT_SERVICE_CHANGED_CHARACTERISTIC.to_hex_str())
                await host.subscribe(changed.upper())
                await host.until(1, changed.upper())
                await host.subscribe("2A35")
                await host.over()
        assert len(host.of("2A35")) == 1


async def test_slow_answers() -> None:
    async with VirtualHome(window_s=5) as home:
        device = await stored(home, "plain_cuff", slow_answers_s=0.1)
        async with awake(device), linked(home, device, pair=False) as host:
            loop = asyncio.get_running_loop()
            began_s = loop.time()
            await host.client.read_gatt_char("2a24")
            assert loop.time() - began_s >= 0.1, "at least, whatever the machine is doing"


async def test_an_answer_that_never_comes() -> None:
    async with VirtualHome(window_s=5) as home:
        device = await stored(home, "plain_cuff", unanswered="2A24")
        async with awake(device), linked(home, device, pair=False) as host:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(host.client.read_gatt_char("2a24"), 0.1)


async def test_a_late_answer_is_for_who_asked() -> None:
    async with VirtualHome(window_s=5) as home:
        device = await stored(home, "plain_cuff", slow_answers_s=0.3)
        async with awake(device), linked(home, device, pair=False) as host:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(host.client.read_gatt_char("2a24"), 0.05)
            device.switch_off("slow_answers_s")
            battery = await host.client.read_gatt_char("2a19")
            assert bytes(battery) == bytes((device.battery_percent,))
            # Given up once more, and the link ends before the answer.
            device.switch(slow_answers_s=9.0)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(host.client.read_gatt_char("2a24"), 0.05)


async def test_a_link_ends_over_an_answer_that_never_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gatt_client, "GATT_REQUEST_TIMEOUT", 0.1)
    async with VirtualHome(window_s=5) as home:
        device = await stored(home, "plain_cuff", unanswered="2A24")
        async with awake(device), linked(home, device, pair=False) as host:
            with pytest.raises(BleakError, match="not answered"):
                await host.client.read_gatt_char("2a24")
            assert not host.client.is_connected


async def test_writes_refused() -> None:
    async with VirtualHome(window_s=5) as home:
        device = await stored(home, "glucose_meter", refuses_writes=True)
        async with awake(device), linked(home, device) as host:
            await host.subscribe("2A52")
            with pytest.raises(BleakGATTProtocolError):
                await host.client.write_gatt_char("2a52", ALL, response=True)


async def test_a_device_that_hangs_up_early() -> None:
    async with VirtualHome(window_s=5) as home:
        device = await stored(home, "plain_cuff", hangs_up_after_s=0.1)
        async with awake(device), linked(home, device, pair=False) as host:
            await host.over()
        assert len(device.undelivered) == 1


async def test_a_device_that_never_hangs_up() -> None:
    async with VirtualHome(window_s=5) as home:
        device = await stored(home, "plain_cuff", never_hangs_up=True)
        async with awake(device), linked(home, device, pair=False) as host:
            await host.subscribe("2A35")
            await host.until(1, "2A35")
            await asyncio.sleep(2 * device.design.hang_up_after_s)
            assert host.client.is_connected


@pytest.mark.parametrize("what", ["plain_cuff", "glucose_meter", "heart_rate"])
async def test_a_device_that_says_nothing(what: str) -> None:
    async with VirtualHome(window_s=5) as home:
        device = await stored(home, what, stays_silent=True)
        async with awake(device), linked(home, device, pair=device.design.must_bond) as host:
            await host.subscribe(device.design.measurement)
            if what == "glucose_meter":
                await host.subscribe("2A52")
                await host.client.write_gatt_char("2a52", ALL, response=True)
            await asyncio.sleep(0.2)
            assert host.values == []
            assert host.client.is_connected


@pytest.mark.parametrize(("what", "first"), [("glucose_meter", 1), ("cgm", 0)])
async def test_numbers_that_begin_anew(what: str, first: int) -> None:
    now = datetime(2026, 11, 22, 8, 0, 10, tzinfo=UTC)
    async with VirtualHome(window_s=5, utc=lambda: now) as home:
        device = await stored(home, what, 3)
        device.switch(numbering_restarted=True)
        record = device.store(PLAIN[what])
        assert record.number == first
        assert [one.number for one in device.undelivered] == [first]
        assert not device.faults.names()


@pytest.mark.parametrize("is_told", [False, True])
async def test_only_what_was_told_counts_as_had_before(is_told: bool) -> None:
    async with VirtualHome(window_s=5) as home:
        device = await stored(home, "glucose_meter", 3, lose_confirmation=is_told)
        async with awake(device):
            if is_told:
                async with linked(home, device) as host:
                    await host.subscribe("2A52", "2A18")
                    await host.client.write_gatt_char("2a52", ALL, response=True)
                    await host.over()
            async with linked(home, device) as host:
                # As one asks who knows the numbers from before the batteries were changed.
                await host.subscribe("2A52", "2A18")
                await host.ask("2A52", FROM_300)
                assert len(device.undelivered) == (0 if is_told else 3)


async def answers(
    home: VirtualHome, device: VirtualDevice, *asked: bytes
) -> tuple[list[object], Heard]:
    async with awake(device), linked(home, device) as host:
        await host.subscribe("2A52", "2A18")
        told: list[object] = [record_access.read(await host.ask("2A52", raw)) for raw in asked]
    return told, host


async def test_a_meter_that_cannot_filter() -> None:
    async with VirtualHome(window_s=5) as home:
        device = await stored(home, "glucose_meter", 2, cannot_filter=True)
        last = record_access.encode(Request(Op.REPORT_RECORDS, Operator.LAST))
        told, host = await answers(home, device, last, ALL)
        assert told[0] == Response(Op.REPORT_RECORDS, Result.OPERATOR_NOT_SUPPORTED)
        assert len(host.of("2A18")) == 2


async def test_a_busy_meter() -> None:
    async with VirtualHome(window_s=5) as home:
        device = await stored(home, "glucose_meter", is_busy=True)
        told, host = await answers(home, device, ALL)
        assert told == [Response(Op.REPORT_RECORDS, Result.SERVER_BUSY)]
        assert host.of("2A18") == []


async def test_a_meter_that_counts_more_than_it_sends() -> None:
    async with VirtualHome(window_s=5) as home:
        device = await stored(home, "glucose_meter", 3, withholds_records=1)
        told, host = await answers(home, device, COUNT, ALL)
        assert told[0] == Count(3)
        assert len(host.of("2A18")) == 2
        assert len(device.undelivered) == 1


async def test_a_meter_that_withholds_all_it_has() -> None:
    async with VirtualHome(window_s=5) as home:
        device = await stored(home, "glucose_meter", 1, withholds_records=2)
        _, host = await answers(home, device, ALL)
        assert host.of("2A18") == []


async def test_a_remembered_subscription_of_a_service_that_is_not_there() -> None:
    async with VirtualHome(window_s=5) as home:
        device = await stored(home, "cuff")
        async with awake(device):
            await fetched(home, device)
        device.store(PLAIN["cuff"])
        device.switch(remembers_subscription=True, services_incomplete=True)
        async with awake(device), linked(home, device, pair=False):
            await asyncio.sleep(0.1)
            assert len(device.undelivered) == 1


async def test_an_abort_that_comes_to_nothing() -> None:
    async with VirtualHome(window_s=5) as home:
        device = await stored(home, "glucose_meter", 60, aborts_late=True)
        async with awake(device), linked(home, device) as host:
            await host.subscribe("2A52", "2A18")
            await host.client.write_gatt_char("2a52", ALL, response=True)
            abort = record_access.encode(Request(Op.ABORT))
            assert record_access.read(await host.ask("2A52", abort)) == Response(
                Op.ABORT, Result.SUCCESS
            )
            assert len(host.of("2A18")) == 60
