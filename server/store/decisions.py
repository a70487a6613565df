"""Every decision of the rules, with its reason, whether or not anybody was alerted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from alerts.decision import Decision
from server.store.alerts import Concern
from server.store.database import Transaction


async def record(tx: Transaction, decisions: Sequence[tuple[Concern, str, Decision]]) -> None:
    """Write every decision with its reason, whether or not anybody was alerted."""
    rows: list[dict[str, Any]] = [
        {
            "at": decision.decided_at,
            "patient": concern.patient_id,
            "gateway": concern.gateway_id,
            "rule": rule,
            "version": decision.version,
            "decided": decision.decided.value,
            "reason": decision.reason.value,
            "severity": decision.severity.value,
            "alert": decision.alert_id,
            "uids": sorted({reading.uid for reading in decision.evidence}),
            "sv": decision.text.sv,
            "en": decision.text.en,
        }
        for concern, rule, decision in decisions
    ]
    if rows:
        async with tx.cursor() as cursor:
            await cursor.executemany(_RECORD, rows)


_RECORD = """
INSERT INTO decision (decided_at, patient_id, gateway_id, rule, rule_version, decided, reason,
                      severity, alert_id, uids, text_sv, text_en)
VALUES (%(at)s, %(patient)s, %(gateway)s, %(rule)s, %(version)s, %(decided)s, %(reason)s,
        %(severity)s, %(alert)s, %(uids)s::uuid[], %(sv)s, %(en)s)
"""
