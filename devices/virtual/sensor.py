"""A continuous glucose sensor: a session, records by their minute, several of them in one value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from bumble.att import ATT_Error

from devices.errors import DecodeError
from devices.gatt import (
    cgm,
    cgm_feature,
    cgm_ops,
    cgm_session_run,
    cgm_session_start,
    cgm_status,
)
from devices.gatt.cgm import CgmRecord
from devices.gatt.cgm_ops import Op, Result
from devices.gatt.cgm_session_start import SessionStart
from devices.gatt.reading import MILLIGRAM_PER_DECILITRE
from devices.measurement import Absent
from devices.virtual.behaviour import Record
from devices.virtual.clock import OUT_OF_RANGE
from devices.virtual.cuff import VIRTUAL
from devices.virtual.design import (
    CONTROL,
    NOTIFY,
    READ,
    READ_WRITE,
    Design,
    Slot,
    Table,
    Values,
    bits,
    number,
)
from devices.virtual.records import RecordServer

if TYPE_CHECKING:
    from devices.virtual.device import VirtualDevice
    from devices.virtual.visit import Visit

RUNS_H = 14 * 24
WORN_BEFORE = timedelta(days=2)
"""How long ago a sensor was put on when it comes to the place."""
STOPPED = 1 << 0
STATUS = {name: 1 << bit for bit, name in cgm.STATUS.items()}
"""A value other than 0 under one of these names sets that bit: ``sensor_malfunction`` and more."""
TREND = 1 << 15
INTERVAL_MIN = 5


def encode(values: Values, _stamp: datetime | None, *, has_crc: bool = False) -> bytes:
    """A 2AA7 record in mg/dL; takes ``glucose``, ``trend`` (mmol/L a minute), status bits."""
    return cgm.encode(
        [
            CgmRecord(
                _milligrams(values, "glucose"),
                int(values.get("number", 0)),
                status=bits(values, STATUS),
                trend_mg_dl_min=_milligrams(values, "trend", 1) if "trend" in values else None,
                has_crc=has_crc,
            )
        ]
    )


def _milligrams(values: Values, name: str, digits: int | None = None) -> float | Absent:
    told = number(values, name)
    if isinstance(told, Absent):
        return told
    return round(told / float(MILLIGRAM_PER_DECILITRE.times), digits)


@dataclass(slots=True)
class Sensor:
    """The behaviour of a sensor. ``started_at`` is when it was put on, by the place's true time."""

    device: VirtualDevice
    has_crc: bool = False
    is_stopped: bool = False
    interval_min: int = INTERVAL_MIN
    started_at: datetime = field(init=False)
    records: RecordServer = field(init=False)

    def __post_init__(self) -> None:
        """Put it on."""
        self.started_at = _minute(self.device.clocks.utc() - WORN_BEFORE)
        self.records = RecordServer(
            self.device,
            packs=True,
            numbered_by=self._free_minute,
            others={cgm_ops.CHARACTERISTIC: self._operate},
        )

    @property
    def undelivered(self) -> list[Record]:
        """What nobody has fetched, oldest first."""
        return self.records.undelivered

    def store(self, values: Values, stamp: datetime | None) -> Record:
        """Keep a value under its minute."""
        if self.device.faults.numbering_restarted:
            self.begin_session()
        return self.records.store(values, stamp)

    def begin_session(self) -> None:
        """Begin anew, now: another sensor on the same transmitter."""
        self.records.restart()
        self.started_at = _minute(self.device.clocks.utc())
        self.is_stopped = False

    def read(self, uuid: str) -> bytes | None:
        """Return the session's start, the status, or how long the sensor runs."""
        match uuid:
            case cgm_session_start.CHARACTERISTIC:
                is_unset = self.device.faults.clock_absent
                start = SessionStart(None if is_unset else self._start(), None, None)
                return cgm_session_start.encode(start, has_crc=self.has_crc)
            case cgm_status.CHARACTERISTIC:
                status = STOPPED if self.is_stopped else 0
                return cgm_status.encode(self._minutes(None), status, has_crc=self.has_crc)
            case cgm_session_run.CHARACTERISTIC:
                return cgm_session_run.encode(RUNS_H, has_crc=self.has_crc)
            case _:
                return None

    def write(self, uuid: str, raw: bytes, visit: Visit) -> bool:
        """Take a request for records, an operation, or the time."""
        if uuid == cgm_session_start.CHARACTERISTIC:
            self._set_time(raw)
            return True
        return self.records.write(uuid, raw, visit)

    async def serve(self, visit: Visit) -> None:
        """Answer requests until none comes any more."""
        await self.records.serve(visit)

    def _free_minute(self, stamp: datetime | None) -> int:
        """Return the minute of a record; no sensor measures twice in one."""
        taken = {record.number for record in self.records.memory}
        minute = self._minutes(stamp)
        while minute in taken:
            minute += 1
        return minute

    def _minutes(self, stamp: datetime | None) -> int:
        """Return the minute of the session that the device's clock shows."""
        shown = self.device.clock.now() if stamp is None else stamp
        return max(0, int((shown - self._start()).total_seconds() // 60))

    def _start(self) -> datetime:
        return self.device.clock.now(self.started_at)

    def _set_time(self, raw: bytes) -> None:
        """Take the time it is, written where the start is read (CGM Service 1.0.2, 3.5)."""
        try:
            told, _ = cgm_session_start.read(raw)
        except DecodeError as error:
            raise ATT_Error(OUT_OF_RANGE) from error
        if told.time is not None:
            self.device.clock.set(told.time)

    def _operate(self, raw: bytes) -> bytes:
        op = raw[0] if raw else 0
        match op:
            case Op.GET_INTERVAL:
                return cgm_ops.encode(Op.INTERVAL, self.interval_min, has_crc=self.has_crc)
            case Op.SET_INTERVAL if len(raw) > 1:
                self.interval_min = raw[1]
            case Op.START_SESSION if self.is_stopped:
                self.begin_session()
            case Op.STOP_SESSION:
                self.is_stopped = True
            case Op.START_SESSION:
                return self._done(op, Result.PROCEDURE_NOT_COMPLETED)
            case _:
                return self._done(op, Result.OP_NOT_SUPPORTED)
        return self._done(op, Result.SUCCESS)

    def _done(self, op: int, result: Result) -> bytes:
        return cgm_ops.encode(Op.RESPONSE, (op, result), has_crc=self.has_crc)


def _minute(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)


def design(*, has_crc: bool = False) -> Design:
    """Return a sensor's design, with an E2E-CRC on everything it says or without."""
    features = TREND | (cgm_feature.E2E_CRC if has_crc else 0)
    feature = cgm_feature.encode(features, "interstitial_fluid", "subcutaneous_tissue")
    behaviour: Callable[[VirtualDevice], Sensor] = partial(Sensor, has_crc=has_crc)
    return Design(
        model="Virtual sensor",
        profile="sig-cgm",
        kinds=("cgm", "battery"),
        local_name="Virtual sensor",
        manufacturer=VIRTUAL,
        service="181F",
        tables=(
            Table(
                "181F",
                (
                    Slot("2AA7", NOTIFY),
                    Slot("2AA8", READ, feature),
                    Slot("2AA9", READ),
                    Slot("2AAA", READ_WRITE),
                    Slot("2AAB", READ),
                    Slot("2A52", CONTROL),
                    Slot("2AAC", CONTROL),
                ),
            ),
        ),
        measurement="2AA7",
        encode=partial(encode, has_crc=has_crc),
        behaviour=behaviour,
        must_bond=True,
        window_s=60.0,
        hang_up_after_s=0.5,
    )


SENSOR = design()
SENSOR_WITH_CRC = design(has_crc=True)
