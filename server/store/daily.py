"""Daily aggregates: ``obs_daily`` for one person, and everyone's days as numpy arrays.

A day is one of Europe/Stockholm. Sum, sum of squares and number are kept rather than means, so that
days combine exactly into weeks. What counts is what ``is_counted`` of 0009_reads.sql says; a value
beyond its device's range is no number and is in no sum.

On Timescale Community everyone's days come from the continuous aggregate (``community.py``). On the
small tiers they are read raw, a day at a time, and reduced here: three times faster than the same
grouping in the database (docs/decisions/0019). Both give what the view gives; tests compare them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, fields
from datetime import date
from typing import Self

import numpy as np

from server.store import history
from server.store.columns import Column, fetch_columns
from server.store.database import Transaction
from server.store.days import each_day
from server.store.history import Values
from server.store.patients import VISIBLE_PATIENTS, Reach


@dataclass(frozen=True, slots=True)
class Daily:
    """Days of components of people, one element each in ten arrays of one length.

    ``patient_id`` int32; ``component_id`` int16; ``day`` datetime64[D]; ``n`` int32, at least 1;
    the others float64 in the component's unit of the catalogue (``sum_squares``: its square).
    ``first`` and ``last`` are by the time of measuring.
    """

    patient_id: Column
    component_id: Column
    day: Column
    n: Column
    sum: Column
    sum_squares: Column
    min: Column
    max: Column
    first: Column
    last: Column

    def __len__(self) -> int:
        """Return how many days of components there are."""
        return len(self.n)

    @property
    def mean(self) -> Column:
        """Return each day's mean; of several days it is the sum of sums by the sum of numbers."""
        mean: Column = self.sum / self.n
        return mean

    @classmethod
    def joined(cls, parts: list[Self]) -> Self:
        """Return several, at least one, one after the other."""
        return cls(
            *(np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(cls))
        )


async def of_patient(
    tx: Transaction, reach: Reach, patient_id: int, *, first: date, last: date
) -> Daily:
    """Return a person's days from ``first`` to ``last``, both included, by component and day.

    Empty for a person out of reach.
    """
    wanted = {"patient_id": patient_id, "first": first, "last": last} | reach.bind()
    return Daily(*await fetch_columns(tx, _OF_PATIENT, wanted))


async def of_everyone(tx: Transaction, *, first: date, last: date) -> Daily:
    """Return everyone's days from ``first`` to ``last``, both included, by day.

    For the server's own work only: no reach bounds it. Ten thousand people with eight components
    need some two million elements for a month: 150 MB.
    """
    return Daily.joined([part async for part in days_of_everyone(tx, first=first, last=last)])


async def days_of_everyone(tx: Transaction, *, first: date, last: date) -> AsyncIterator[Daily]:
    """Yield everyone's days, one at a time, for who does not need them all at once.

    Raises ValueError when ``last`` is before ``first``.
    """
    if last < first:
        raise ValueError(f"{last} is before {first}")
    cursor = await tx.execute("SELECT to_regclass('obs_daily_kept') IS NOT NULL")
    row = await cursor.fetchone()
    if row is not None and row[0]:
        for day, _, _ in each_day(first, last):
            yield Daily(*await fetch_columns(tx, _OF_EVERYONE, {"day": day}))
        return
    for day, since, until in each_day(first, last):
        async for values in history.of_everyone(tx, since=since, until=until, window=until - since):
            yield reduced(values, day)


def reduced(values: Values, day: date) -> Daily:
    """Return the aggregates of values that were all measured on ``day``."""
    is_number = np.isfinite(values.value)
    patient, component = values.patient_id[is_number], values.component_id[is_number]
    value, time = values.value[is_number], values.measured_at[is_number]
    if not len(value):
        return _nothing()
    # Of values of one moment the greater comes last, as in obs_daily.
    order = np.lexsort((value, time, component, patient))
    patient, component, value = patient[order], component[order], value[order]
    is_new = np.ones(len(value), np.bool_)
    is_new[1:] = (patient[1:] != patient[:-1]) | (component[1:] != component[:-1])
    starts = np.flatnonzero(is_new)
    ends = np.append(starts[1:], len(value))
    return Daily(
        patient_id=patient[starts],
        component_id=component[starts],
        day=np.full(len(starts), np.datetime64(day, "D")),
        n=(ends - starts).astype(np.int32),
        sum=np.add.reduceat(value, starts),
        sum_squares=np.add.reduceat(value * value, starts),
        min=np.minimum.reduceat(value, starts),
        max=np.maximum.reduceat(value, starts),
        first=value[starts],
        last=value[ends - 1],
    )


def _nothing() -> Daily:
    numbers = [np.empty(0, np.float64) for _ in range(6)]
    return Daily(
        np.empty(0, np.int32),
        np.empty(0, np.int16),
        np.empty(0, "datetime64[D]"),
        np.empty(0, np.int32),
        *numbers,
    )


_COLUMNS = ", ".join(f"coalesce(array_agg(d.{one.name}), '{{}}')" for one in fields(Daily))

_OF_PATIENT = f"""
SELECT {_COLUMNS} FROM (
    SELECT * FROM obs_daily
    WHERE patient_id = %(patient_id)s AND patient_id IN {VISIBLE_PATIENTS}
      AND day BETWEEN %(first)s AND %(last)s
    ORDER BY component_id, day
) d
"""

# A condition on the bucket itself: Timescale finds the chunk by it.
_OF_EVERYONE = f"SELECT {_COLUMNS} FROM obs_daily d WHERE d.day = %(day)s"
