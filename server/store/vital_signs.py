"""What an operator watches: is anything coming in, is it judged, and does somebody answer.

Counts and ages only; no person, no home and no value can be read from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from server.store import upkeep
from server.store.database import Transaction

SEVERITIES = ("red", "yellow", "blue")
GATEWAY_STATES = ("online", "offline", "never_seen")
# Some more than one: what was measured last may have been stored before what was measured earlier.
NEWEST = 50


@dataclass(frozen=True, slots=True)
class VitalSigns:
    """How the system stands at one moment. Ages are in seconds; None where there is nothing.

    ``open_alerts`` and ``untaken_alerts`` are by severity, ``gateways`` by state.
    ``inbox_age_s`` is how long the oldest unjudged value has waited, ``value_age_s`` how long ago
    the newest value was stored, of the :data:`NEWEST` of all people's latest ones that were
    measured last. ``upkeep_failures`` is how often each job
    of the upkeep failed since it last went well, ``upkeep_overdue_s`` how long it has been due.
    """

    open_alerts: Mapping[str, int]
    untaken_alerts: Mapping[str, int]
    gateways: Mapping[str, int]
    inbox_rows: int
    inbox_age_s: float | None
    value_age_s: float | None
    heard_age_s: float | None
    quarantine_rows: int
    receipts_unsent: int
    upkeep_failures: Mapping[str, int]
    upkeep_overdue_s: Mapping[str, float]


async def vital_signs(tx: Transaction, *, now: datetime) -> VitalSigns:
    """Return how the system stands at ``now``."""
    alerts = await (await tx.execute(_ALERTS)).fetchall()
    states = dict(await (await tx.execute(_GATEWAYS)).fetchall())
    row = await (await tx.execute(_REST, {"now": now})).fetchone()
    assert row is not None, "one row of figures"
    inbox_rows, inbox_age_s, value_age_s, heard_age_s, quarantine_rows, receipts_unsent = row
    jobs = await upkeep.states(tx)
    opened = {severity: (total, free) for severity, total, free in alerts}
    return VitalSigns(
        open_alerts={one: opened.get(one, (0, 0))[0] for one in SEVERITIES},
        untaken_alerts={one: opened.get(one, (0, 0))[1] for one in SEVERITIES},
        gateways={one: states.get(one, 0) for one in GATEWAY_STATES},
        inbox_rows=inbox_rows,
        inbox_age_s=inbox_age_s,
        value_age_s=value_age_s,
        heard_age_s=heard_age_s,
        quarantine_rows=quarantine_rows,
        receipts_unsent=receipts_unsent,
        upkeep_failures={job.name: job.failures for job in jobs},
        upkeep_overdue_s={job.name: max(0.0, (now - job.due_at).total_seconds()) for job in jobs},
    )


_ALERTS = """
SELECT severity, count(*), count(*) FILTER (WHERE owner_id IS NULL)
FROM alert WHERE handling <> 'closed' GROUP BY severity
"""

_GATEWAYS = "SELECT state, count(*) FROM gateway GROUP BY state"

# The newest value is looked for among the people's latest ones, where the measurements themselves
# are too many to be read at every scrape; and of those only among the newest, since to look up when
# each was stored took more than a second with 10,000 people.
_REST = f"""
SELECT (SELECT count(*) FROM engine_inbox),
       (SELECT extract(epoch FROM %(now)s::timestamptz - min(stored_at))::float8
        FROM engine_inbox),
       (SELECT extract(epoch FROM %(now)s::timestamptz - max(m.stored_at))::float8
        FROM (SELECT uid, measured_at FROM latest ORDER BY measured_at DESC LIMIT {NEWEST}) l
        CROSS JOIN LATERAL (
            SELECT m.stored_at FROM measurement m
            WHERE m.measured_at = l.measured_at AND m.uid = l.uid OFFSET 0) m),
       (SELECT extract(epoch FROM %(now)s::timestamptz - max(last_heard_at))::float8
        FROM gateway),
       (SELECT count(*) FROM quarantine),
       (SELECT count(*) FROM receipt WHERE sent_at IS NULL)
"""
