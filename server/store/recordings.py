"""Series of one value a second or a beat: oximetry over a night, intervals between beats.

They are kept in runs of at most :data:`RUN_MAX` samples a row (docs/decisions/0019). Nothing that
gateways send today comes here: of values of every second one each fifteen seconds travels
(docs/decisions/0014). What is kept here is judged by no rule.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from server.store.columns import Column, fetch_rows_of_columns
from server.store.database import Transaction
from server.store.errors import DataRefused
from server.store.patients import VISIBLE_PATIENTS, Reach

# Two bytes each: a row of so many still fits in its page, beside its other columns.
RUN_MAX = 900
MISSING = -32768
SAMPLE_MAX = 32767
# A beat's interval is kept in milliseconds, so no run is longer than this; a run a second, 15 min.
RUN_LENGTH_MAX = timedelta(hours=9)
_MS = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Recording:
    """A piece of a series, as it came from a device.

    ``values`` float64 in the component's unit of the catalogue; ``nan`` is a sample that is
    missing. ``started_at`` is when the whole series began, ``first_index`` the number of the first
    value in it, from 0. ``period_ms`` is the time from sample to sample. None: beat to beat; then
    the values are intervals in ms, none of them missing, and ``measured_at`` is the beat that the
    first of them follows. With a period, ``measured_at`` follows from the others and is None.
    """

    device_id: int
    component_id: int
    patient_id: int | None
    started_at: datetime
    first_index: int
    period_ms: int | None
    decimals: int
    values: npt.NDArray[np.float64]
    measured_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Samples:
    """One element each in two arrays, by time.

    ``at`` datetime64[us], UTC; of beats the one that ends the interval. ``value`` float64, ``nan``
    where the sample is missing.
    """

    at: Column
    value: Column


async def keep_recording(tx: Transaction, recording: Recording, *, stored_at: datetime) -> int:
    """Store the runs that are new, and return how many; harmless to repeat.

    Raises DataRefused for what cannot be kept: a value too large for its decimals, a beat that is
    missing, or other samples than those that are stored for the same device and time. Cut a series
    at the same places when it is sent again: the runs are told by where they begin.
    """
    runs = list(_runs(recording))
    new = 0
    for first_index, at, ended_at, samples in runs:
        row = {
            "device": recording.device_id,
            "component": recording.component_id,
            "at": at,
            "ended_at": ended_at,
            "started_at": recording.started_at,
            "first_index": first_index,
            "period_ms": recording.period_ms,
            "decimals": recording.decimals,
            "samples": samples.tolist(),
            "patient": recording.patient_id,
            "stored_at": stored_at,
        }
        cursor = await tx.execute(_KEEP, row)
        if cursor.rowcount:
            new += 1
            continue
        cursor = await tx.execute(_IS_SAME, row)
        if await cursor.fetchone() != (True,):
            raise DataRefused("other samples are stored for this device and time")
    return new


async def samples_of(
    tx: Transaction,
    reach: Reach,
    patient_id: int,
    *,
    component_id: int,
    since: datetime,
    until: datetime,
) -> Samples:
    """Return a person's samples in [since, until). Empty for a person out of reach."""
    wanted = {
        "patient_id": patient_id,
        "component": component_id,
        "since": since,
        "until": until,
        "earliest": since - RUN_LENGTH_MAX,
    } | reach.bind()
    rows = await fetch_rows_of_columns(tx, _SAMPLES, wanted)
    at = np.concatenate([np.empty(0, "datetime64[us]"), *(_times(row) for row in rows)])
    value = np.concatenate([np.empty(0), *(_values(row) for row in rows)])
    low, high = (
        np.datetime64(time.astimezone(UTC).replace(tzinfo=None), "us") for time in (since, until)
    )
    is_inside = (at >= low) & (at < high)
    order = np.argsort(at[is_inside], kind="stable")
    return Samples(at[is_inside][order], value[is_inside][order])


def _runs(recording: Recording) -> Iterator[tuple[int, datetime, datetime, npt.NDArray[np.int16]]]:
    """Yield each run's first index, its first time, its last time and its samples."""
    samples = _quantised(recording)
    period_ms = recording.period_ms
    if period_ms is None:
        at = recording.measured_at
        if at is None:
            raise DataRefused("a series of beats without the time of its first beat")
        if bool((samples <= 0).any()) or recording.decimals:
            raise DataRefused("an interval between beats is a whole, positive number of ms")
    else:
        at = recording.started_at + recording.first_index * period_ms * _MS
    for start in range(0, len(samples), RUN_MAX):
        run = samples[start : start + RUN_MAX]
        length_ms = int(run.sum(dtype=np.int64)) if period_ms is None else len(run) * period_ms
        last_ms = length_ms if period_ms is None else length_ms - period_ms
        if length_ms * _MS > RUN_LENGTH_MAX:
            raise DataRefused("a series of less than one sample in half a minute is not a series")
        yield recording.first_index + start, at, at + last_ms * _MS, run
        at += length_ms * _MS


def _quantised(recording: Recording) -> npt.NDArray[np.int16]:
    scaled = np.round(recording.values * 10**recording.decimals)
    is_there = ~np.isnan(scaled)
    if bool((np.abs(scaled[is_there]) > SAMPLE_MAX).any()):
        raise DataRefused(f"a sample is too large for {recording.decimals} decimals")
    return np.where(is_there, scaled, MISSING).astype(np.int16)


def _times(row: tuple[Any, ...]) -> Column:
    measured_at, period_ms, _, samples = row
    start = np.datetime64(measured_at.replace(tzinfo=None), "us")
    if period_ms is None:
        after_ms = np.cumsum(samples, dtype=np.int64)
    else:
        after_ms = np.arange(len(samples), dtype=np.int64) * period_ms
    times: Column = start + (after_ms * 1000).astype("timedelta64[us]")
    return times


def _values(row: tuple[Any, ...]) -> Column:
    _, _, decimals, samples = row
    values: Column = np.where(samples == MISSING, np.nan, samples / 10.0**decimals)
    return values


_KEEP = """
INSERT INTO recording (device_id, component_id, measured_at, ended_at, started_at, first_index,
                       period_ms, decimals, samples, patient_id, stored_at)
VALUES (%(device)s, %(component)s, %(at)s, %(ended_at)s, %(started_at)s, %(first_index)s,
        %(period_ms)s, %(decimals)s, %(samples)s::smallint[], %(patient)s, %(stored_at)s)
ON CONFLICT (device_id, component_id, measured_at) DO NOTHING
"""

_IS_SAME = """
SELECT samples = %(samples)s::smallint[] AND decimals = %(decimals)s
       AND period_ms IS NOT DISTINCT FROM %(period_ms)s
FROM recording
WHERE device_id = %(device)s AND component_id = %(component)s AND measured_at = %(at)s
"""

# Runs begin up to the length of one before the time that is asked for.
_SAMPLES = f"""
SELECT measured_at, period_ms, decimals, samples
FROM recording
WHERE patient_id = %(patient_id)s AND patient_id IN {VISIBLE_PATIENTS}
  AND component_id = %(component)s AND measured_at >= %(earliest)s AND measured_at < %(until)s
  AND ended_at >= %(since)s
ORDER BY measured_at
"""
