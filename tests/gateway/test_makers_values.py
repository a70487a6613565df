"""A maker's own protocol from frames to items: a frame is none, each record is one, and once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from devices import wire
from devices.gatt import nonin_oximetry, taidoc
from devices.gatt.nonin_oximetry import Frame
from devices.vendor import taidoc_meter
from devices.vendor.taidoc import Reading
from tests.devices.vendor.fix_meter import Meter, after, link
from tests.gateway.fix_home import CUFF, STOCKHOLM, Home, make_home


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = make_home(tmp_path / "outbox.sqlite3")
    yield home
    home.outbox.close()


def items(home: Home) -> list[wire.Item]:
    rows = home.outbox.fresh(now_ms=home.clock.read().mono_ms, limit=99)
    return [wire.decode_item(row.item) for row in rows]


def local(home: Home) -> datetime:
    return home.clock.read().utc.astimezone(STOCKHOLM).replace(tzinfo=None, second=0, microsecond=0)


def serve(home: Home, meter: Meter, last: Reading | None = None) -> Reading:
    """Hold a link and journal what it brings, as the radio does: every frame, then each record."""

    class Journaled(Meter):
        def answers(self, request: bytes) -> tuple[bytes, ...]:
            frames = meter.answers(request)
            for frame in frames:
                keep(home, frame)
            return frames

    told = link(last or Reading(), Journaled([]), local=local(home))
    for raw in told.kept:
        keep(home, raw)
    return after(told, last)


def keep(home: Home, raw: bytes, characteristic: str = taidoc.CHARACTERISTIC) -> None:
    home.journal.append(dev=CUFF, model="TD-3128", characteristic=characteristic, raw=raw)
    home.intake.take_all()


def test_each_record_is_one_item_with_its_own_time(home: Home) -> None:
    now = local(home)
    records = [
        taidoc_meter.pressure(
            now - timedelta(hours=hours), systolic_mmhg=120 + hours, diastolic_mmhg=80, pulse_bpm=60
        )
        for hours in (3, 2, 1)
    ]
    serve(home, Meter(records, clock=now))
    got = items(home)
    assert [item.samples[0].value for item in got] == [123.0, 122.0, 121.0]
    assert [item.dev_t for item in got] == [record.time for record in records]
    assert all(item.tq in ("device", "corrected") for item in got)
    assert {item.char for item in got} == {taidoc.CHARACTERISTIC}
    assert all(len(bytes.fromhex(item.raw or "")) == 24 for item in got)


def test_the_same_memory_read_twice_is_stored_once(home: Home) -> None:
    now = local(home)
    records = [
        taidoc_meter.pressure(
            now - timedelta(hours=hours), systolic_mmhg=120, diastolic_mmhg=80, pulse_bpm=60
        )
        for hours in (3, 2, 1)
    ]
    serve(home, Meter(records, clock=now))
    # As after the gateway's notes were lost: nothing is known of the meter.
    serve(home, Meter(records, clock=now))
    assert len(items(home)) == 3
    assert all("possible_repeat" not in item.flags for item in items(home))


def test_a_meters_wrong_clock_is_corrected_by_what_it_showed(home: Home) -> None:
    now = local(home)
    wrong = now - timedelta(hours=1)
    record = taidoc_meter.pressure(
        wrong - timedelta(minutes=10), systolic_mmhg=120, diastolic_mmhg=80, pulse_bpm=60
    )
    serve(home, Meter([record], clock=wrong))
    (item,) = items(home)
    assert item.tq == "corrected"
    assert item.t is not None
    true = home.clock.read().utc - timedelta(minutes=10)
    assert abs(item.t - true) <= timedelta(minutes=1)


def test_a_spot_check_is_one_item_and_its_seconds_are_none(home: Home) -> None:
    frame = Frame(91, 88, 7, amplitude_percent=2.0)
    for raw in (nonin_oximetry.encode(frame), nonin_oximetry.encode_spot_check(frame)):
        keep(home, raw, nonin_oximetry.CHARACTERISTIC)
    (item,) = items(home)
    assert (item.kind, item.samples[0].value) == ("pulse_oximetry", 91.0)


def test_a_record_of_an_unknown_model_travels_undecoded(home: Home) -> None:
    record = taidoc_meter.pressure(local(home), systolic_mmhg=120, diastolic_mmhg=80, pulse_bpm=60)
    serve(home, Meter([record], model="9999"))
    (item,) = items(home)
    assert item.type == "undecodable"
    assert "unknown_model" in (item.why or "")
