"""Each kind gives an ordinary value to a plain host, and keeps its own rules."""

from datetime import UTC, datetime, timedelta

import pytest
from bleak.exc import BleakError, BleakGATTProtocolError

from devices import gatt
from devices.gatt import (
    cgm_ops,
    cgm_session_start,
    cgm_status,
    current_time,
    local_time,
    record_access,
    user_control_point,
)
from devices.gatt.record_access import ByNumber, Count, Op, Operator, Request, Response, Result
from devices.gatt.user_control_point import Request as UserRequest
from devices.gatt.user_control_point import Response as UserResponse
from devices.profiles import PROFILES
from devices.virtual.designs import DESIGNS
from devices.virtual.device import VirtualDevice, advertised
from devices.virtual.home import VirtualHome
from tests.devices.virtual.fix_visit import PLAIN, Heard, awake, bring, linked

INDICATING = ("cuff", "scale", "thermometer", "oximeter", "plain_cuff", "two_user_cuff")
STREAMING = ("oximeter_continuous", "heart_rate")
KEEPING = ("glucose_meter", "cgm", "cgm_with_crc")
ALL = record_access.encode(Request(Op.REPORT_RECORDS, Operator.ALL))


def asked(op: Op, operator: Operator, minimum: int | None = None) -> bytes:
    which = None if minimum is None else ByNumber(minimum=minimum)
    return record_access.encode(Request(op, operator, which))


@pytest.mark.parametrize("what", DESIGNS)
def test_a_design_can_be_advertised_and_enrolled(what: str) -> None:
    design = DESIGNS[what]
    assert len(advertised(design)) <= 31
    assert design.profile in PROFILES
    assert what in PLAIN


@pytest.mark.parametrize("what", INDICATING)
async def test_a_kept_value_is_indicated(what: str) -> None:
    async with VirtualHome(window_s=5) as home:
        device = await bring(home, what)
        device.store(PLAIN[what])
        async with awake(device), linked(home, device, pair=device.design.must_bond) as host:
            await host.subscribe(device.design.measurement)
            await host.over()
        [measurement] = host.measurements(device.design.measurement)
        assert measurement.kind in device.design.kinds
        assert measurement.samples[0].value == pytest.approx(next(iter(PLAIN[what].values())))
        assert measurement.context.get("user_index") == PLAIN[what].get("user")
        assert device.undelivered == []
        assert list(device.confirmed) == host.of(device.design.measurement)


@pytest.mark.parametrize("what", STREAMING)
async def test_a_stream_is_notified_while_it_is_worn(what: str) -> None:
    async with VirtualHome(window_s=5) as home:
        device = await bring(home, what)
        device.store(PLAIN[what])
        async with awake(device), linked(home, device, pair=False) as host:
            await host.subscribe(device.design.measurement)
            await host.over()
        measured = host.measurements(device.design.measurement)
        assert len(measured) == 3
        assert measured[0].samples[0].value == next(iter(PLAIN[what].values()))
        assert device.undelivered == []
        assert not device.confirmed, "nobody confirms a notification"


@pytest.mark.parametrize("what", KEEPING)
async def test_records_are_sent_when_they_are_asked_for(what: str) -> None:
    async with VirtualHome(window_s=5) as home:
        device = await bring(home, what)
        device.store(PLAIN[what])
        async with awake(device), linked(home, device) as host:
            await host.subscribe("2A52", device.design.measurement)
            answer = await host.ask("2A52", ALL)
            assert record_access.read(answer) == Response(Op.REPORT_RECORDS, Result.SUCCESS)
        [measurement] = host.measurements(device.design.measurement)
        assert measurement.samples[0].value == pytest.approx(PLAIN[what]["glucose"], abs=0.05)
        assert device.undelivered == []


async def meter(home: VirtualHome, records: int) -> VirtualDevice:
    device = await bring(home, "glucose_meter")
    for n in range(records):
        device.store({"glucose": 5 + n / 10})
    return device


async def test_a_meter_knows_every_operator() -> None:
    async with VirtualHome(window_s=5) as home:
        device = await meter(home, 5)
        async with awake(device), linked(home, device) as host:
            await host.subscribe("2A52", "2A18", "2A34")

            async def numbers(raw: bytes) -> list[int | None]:
                had = len(host.of("2A18"))
                assert record_access.read(await host.ask("2A52", raw)) == Response(
                    Op.REPORT_RECORDS, Result.SUCCESS
                )
                return [one.sequence_number for one in host.measurements("2A18")[had:]]

            assert await numbers(ALL) == [1, 2, 3, 4, 5]
            assert await numbers(asked(Op.REPORT_RECORDS, Operator.FIRST)) == [1]
            assert await numbers(asked(Op.REPORT_RECORDS, Operator.LAST)) == [5]
            assert await numbers(asked(Op.REPORT_RECORDS, Operator.GREATER_OR_EQUAL, 4)) == [4, 5]
            within = Request(Op.REPORT_RECORDS, Operator.WITHIN_RANGE, ByNumber(2, 3))
            assert await numbers(record_access.encode(within)) == [2, 3]
            below = Request(Op.REPORT_RECORDS, Operator.LESS_OR_EQUAL, ByNumber(maximum=1))
            assert await numbers(record_access.encode(below)) == [1]
            counted = await host.ask("2A52", asked(Op.COUNT_RECORDS, Operator.ALL))
            assert record_access.read(counted) == Count(5)


@pytest.mark.parametrize(
    ("raw", "result"),
    [
        (asked(Op.REPORT_RECORDS, Operator.GREATER_OR_EQUAL, 99), Result.NO_RECORDS_FOUND),
        (b"\x02\x01", Result.OP_NOT_SUPPORTED),
        (b"\x63\x01", Result.OP_NOT_SUPPORTED),
        (b"\x01\x00", Result.INVALID_OPERATOR),
        (b"\x01\x07", Result.OPERATOR_NOT_SUPPORTED),
        (b"\x01\x03\x01", Result.INVALID_OPERAND),
        (b"\x01\x03\x02\xe8\x07\x01\x01\x00\x00\x00", Result.OPERAND_NOT_SUPPORTED),
        (b"\x03\x00", Result.SUCCESS),
    ],
)
async def test_a_meter_says_what_it_cannot_do(raw: bytes, result: Result) -> None:
    async with VirtualHome(window_s=5) as home:
        device = await meter(home, 2)
        async with awake(device), linked(home, device) as host:
            await host.subscribe("2A52", "2A18")
            assert record_access.read(await host.ask("2A52", raw)) == Response(raw[0], result)
            assert host.of("2A18") == []


async def test_a_request_without_a_subscription_is_refused() -> None:
    async with VirtualHome(window_s=5) as home:
        device = await meter(home, 1)
        async with awake(device), linked(home, device) as host:
            with pytest.raises(BleakGATTProtocolError) as refused:
                await host.client.write_gatt_char("2a52", ALL, response=True)
            assert refused.value.code == 0xFD


async def test_a_report_can_be_aborted_and_a_second_one_not_begun() -> None:
    async with VirtualHome(window_s=5) as home:
        device = await meter(home, 200)
        async with awake(device), linked(home, device) as host:
            await host.subscribe("2A52", "2A18")
            await host.client.write_gatt_char("2a52", ALL, response=True)
            with pytest.raises(BleakGATTProtocolError) as refused:
                await host.client.write_gatt_char("2a52", ALL, response=True)
            assert refused.value.code == 0xFE
            answer = await host.ask("2A52", record_access.encode(Request(Op.ABORT)))
            assert record_access.read(answer) == Response(Op.ABORT, Result.SUCCESS)
            assert len(host.of("2A18")) < 200
            assert device.undelivered, "what was not sent is not delivered"


async def test_a_value_measured_meanwhile_is_told_at_once() -> None:
    async with VirtualHome(window_s=5) as home:
        device = await meter(home, 1)
        async with awake(device), linked(home, device) as host:
            await host.subscribe("2A52", "2A18")
            await host.ask("2A52", ALL)
            report = await device.measure({"glucose": 9.9})
            assert report.delivered
            assert report.confirmed_at is None
            assert host.measurements("2A18")[-1].samples[0].value == pytest.approx(9.9)


async def test_a_sensor_packs_records_and_tells_its_session() -> None:
    now = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
    async with VirtualHome(window_s=5, utc=lambda: now) as home:
        device = await bring(home, "cgm")
        for n in range(40):
            device.store({"glucose": 6 + n / 20}, at=now - timedelta(minutes=5 * (40 - n)))
        async with awake(device), linked(home, device) as host:
            await host.subscribe("2A52", "2AA7")
            await host.ask("2A52", ALL)
            assert len(host.of("2AA7")) < 10, "several records in a value"
            minutes = [one.context["time_offset_min"] for one in host.measurements("2AA7")]
            assert minutes == [2 * 24 * 60 - 5 * (40 - n) for n in range(40)]
            start, _ = cgm_session_start.read(bytes(await host.client.read_gatt_char("2aaa")))
            assert start.time == device.device_time(now - timedelta(days=2))
            assert (await host.client.read_gatt_char("2aab"))[0] == 14 * 24 & 0xFF


@pytest.mark.parametrize("what", ["cgm", "cgm_with_crc"])
async def test_a_sensor_is_operated(what: str) -> None:
    async with VirtualHome(window_s=5) as home:
        device = await bring(home, what)
        device.store({"glucose": 6.0})
        async with awake(device), linked(home, device) as host:
            await host.subscribe("2AAC")

            async def result(raw: bytes) -> object:
                return cgm_ops.decode(await host.ask("2AAC", raw)).fields.get("result")

            has_crc = what == "cgm_with_crc"
            told = cgm_ops.decode(await host.ask("2AAC", cgm_ops.encode(cgm_ops.Op.GET_INTERVAL)))
            assert told.fields["interval_min"] == 5
            assert told.fields["e2e_crc"] is has_crc
            assert await result(cgm_ops.encode(cgm_ops.Op.SET_INTERVAL, 1)) == "success"
            assert await result(b"\x63") == "op_not_supported"
            start = cgm_ops.encode(cgm_ops.Op.START_SESSION)
            assert await result(start) == "procedure_not_completed"
            assert await result(cgm_ops.encode(cgm_ops.Op.STOP_SESSION)) == "success"
            status = cgm_status.decode(bytes(await host.client.read_gatt_char("2aa9")))
            assert status.fields["status"] == ["session_stopped"]
            assert await result(start) == "success"
            assert device.undelivered == [], "a new sensor has nothing to tell"


async def test_a_sensor_whose_clock_was_never_set_takes_the_time() -> None:
    async with VirtualHome(window_s=5) as home:
        device = await bring(home, "cgm")
        device.switch(clock_absent=True)
        device.store({"glucose": 6.0})
        async with awake(device), linked(home, device) as host:
            start, _ = cgm_session_start.read(bytes(await host.client.read_gatt_char("2aaa")))
            assert start.time is None
            with pytest.raises(BleakGATTProtocolError):
                await host.client.write_gatt_char("2aaa", b"\x01", response=True)
            told = datetime(2026, 11, 22, 9, 0)  # noqa: DTZ001 - a device has no zone
            await host.client.write_gatt_char(
                "2aaa",
                cgm_session_start.encode(cgm_session_start.SessionStart(told, None, None)),
                response=True,
            )
            start, _ = cgm_session_start.read(bytes(await host.client.read_gatt_char("2aaa")))
            assert start.time is not None
            assert timedelta(0) <= told - start.time - timedelta(days=2) < timedelta(minutes=2)


async def consent(host: Heard, user: int, code: int) -> UserResponse:
    raw = user_control_point.encode(UserRequest(user_control_point.Op.CONSENT, user, code))
    answer = user_control_point.read(await host.ask("2A9F", raw))
    assert isinstance(answer, UserResponse)
    return answer


async def test_a_scale_gives_a_users_values_to_who_has_the_code() -> None:
    async with VirtualHome(window_s=5) as home:
        device = await bring(home, "body_composition")
        device.store({**PLAIN["body_composition"], "user": 1})
        device.store({**PLAIN["body_composition"], "user": 2})
        async with awake(device), linked(home, device) as host:
            await host.subscribe("2A9F", "2A9D", "2A9C")
            assert (await consent(host, 1, 1)).result == 5, "not authorised"
            assert (await consent(host, 7, 1)).result == 3, "no such user"
            assert host.of("2A9C") == []
            assert (await consent(host, 1, 1234)).result == 1
            await host.until(1, "2A9C")
            assert bytes(await host.client.read_gatt_char("2a9a")) == b"\x01"
            assert (await host.ask("2A9F", b"\x04"))[-1] == 2, "two users"
            assert (await host.ask("2A9F", b"\x01\x39\x05"))[-1] == 3, "the new one's index"
            assert (await host.ask("2A9F", b"\x03"))[2] == 2, "not supported"
            assert (await host.ask("2A9F", b"\x63"))[2] == 2
            assert (await host.ask("2A9F", b""))[1:3] == b"\x00\x02"
            assert (await host.ask("2A9F", b"\x20\x01\x01"))[2] == 2
        assert [one.context["user_index"] for one in host.measurements("2A9C")] == [1, 1]
        assert host.measurements("2A9D")[0].samples[0].value == pytest.approx(70.2)
        assert [record.user for record in device.undelivered] == [2]


async def test_a_clock_of_its_own_service_tells_time_and_zone() -> None:
    now = datetime(2026, 7, 1, 8, 0, tzinfo=UTC)
    async with VirtualHome(window_s=5, utc=lambda: now) as home:
        device = await bring(home, "two_user_cuff")
        device.store(PLAIN["two_user_cuff"])
        async with awake(device), linked(home, device) as host:
            told = current_time.read(bytes(await host.client.read_gatt_char("2a2b")))
            assert told == device.device_time()
            zone = local_time.decode(bytes(await host.client.read_gatt_char("2a0f"))).fields
            assert zone == {"zone_min": 60, "dst_min": 60}
            right = datetime(2026, 7, 1, 10, 0)  # noqa: DTZ001 - a device has no zone
            await host.client.write_gatt_char("2a2b", current_time.encode(right), response=True)
            assert device.device_time() == right
            with pytest.raises(BleakGATTProtocolError):
                await host.client.write_gatt_char("2a2b", b"\x00", response=True)


async def test_a_rising_temperature_comes_before_the_result() -> None:
    async with VirtualHome(window_s=5) as home:
        device = await bring(home, "thermometer")
        device.store({"temperature": 37.8})
        async with awake(device), linked(home, device, pair=False) as host:
            await host.subscribe("2A1E", "2A1C")
            await host.over()
        assert [uuid for uuid, _ in host.values] == ["2A1E", "2A1C"]
        assert isinstance(gatt.decode("2A1E", host.of("2A1E")[0]), gatt.Fields)


async def test_an_oximeter_says_how_good_its_estimate_is() -> None:
    async with VirtualHome(window_s=5) as home:
        device = await bring(home, "oximeter")
        device.store({"spo2": 84, "pulse": 90, "early_estimate": 1, "low_perfusion": 1})
        device.store({"spo2": 96, "pulse": 70, "perfusion_index": 2.5, "invalid_measurement": 1})
        async with awake(device), linked(home, device, pair=False) as host:
            await host.subscribe("2A5E")
            await host.over()
        early, invalid = host.measurements("2A5E")
        assert set(early.flags) == {"early_estimate", "low_perfusion"}
        assert invalid.flags == ("invalid_measurement",)


async def test_digits_are_asked_for_where_the_device_shows_them() -> None:
    async with VirtualHome(window_s=5) as home:
        device = await meter(home, 1)
        asked_for: list[str] = []

        async def mistyped(address: str) -> int | None:
            asked_for.append(address)
            shown = device.shown_passkey
            return None if shown is None else (shown + 1) % 1_000_000

        by_default, home.operator = home.operator, mistyped
        async with awake(device):
            with pytest.raises(BleakError):
                async with linked(home, device):
                    pass
            assert asked_for == [device.address]
            assert not await device.is_bonded()
            home.operator = by_default
            async with linked(home, device):
                assert await device.is_bonded()
            assert device.shown_passkey is None


async def test_a_battery_tells_its_level_to_who_subscribed() -> None:
    async with VirtualHome(window_s=5) as home:
        device = await bring(home, "plain_cuff")
        device.store(PLAIN["plain_cuff"])
        async with awake(device), linked(home, device, pair=False) as host:
            await host.subscribe("2A19", "2A35")
            await host.over()
        assert host.of("2A19") == [bytes((device.battery_percent,))]


async def test_the_same_seed_wears_the_same_strap() -> None:
    async def worn(seed: int) -> list[bytes]:
        async with VirtualHome(seed=seed, window_s=5) as home:
            device = await bring(home, "heart_rate")
            device.store({"heart_rate": 70, "ticks": 4})
            async with awake(device), linked(home, device, pair=False) as host:
                await host.subscribe("2A37")
                await host.over()
            return host.of("2A37")

    assert await worn(1) == await worn(1)
    assert await worn(1) != await worn(2)
