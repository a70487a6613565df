"""What equipment does not say: a gateway that has gone silent, a battery that is low.

Rules of this file: silence is judged on the server's time and has a cause; technical alerts never
concern a person's value, and may close by themselves when the equipment is heard again, with an
event.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from alerts.decision import Decided, Decision, Reason, alert_id
from alerts.rules import Cause, Level, Severity, Technical, Text, version
from alerts.wording import Language, age

# A gateway that is online says so at least once an hour (contract.md 1, status); a message may be
# late.
STATUS_EVERY = timedelta(minutes=60)
_STATUS_MAX = STATUS_EVERY + timedelta(minutes=15)

_SILENT_WHY = "Teknisk regel (förslag): en mottagare ska höras minst en gång i timmen"
_BATTERY_WHY = "Teknisk regel (förslag): batteriet har 20 % eller mindre kvar"

GATEWAY_SILENT = Technical(
    rule="tech.gateway",
    cause=Cause.GATEWAY_SILENT,
    # Seconds since the gateway's will, or since it should have been heard.
    levels=(Level(Severity.YELLOW, 24 * 3600.0), Level(Severity.BLUE, 3600.0)),
    text=Text(
        "Mottagaren {subject} har varit tyst i {age}. Värden därifrån kommer inte fram.",
        "Gateway {subject} has been silent for {age}. Values from there do not arrive.",
    ),
    why=_SILENT_WHY,
)
BATTERY_LOW = Technical(
    rule="tech.battery",
    cause=Cause.BATTERY_LOW,
    levels=(Level(Severity.BLUE, 20.0),),
    text=Text("Svagt batteri i {subject}: {level} %.", "Low battery in {subject}: {level} %."),
    why=_BATTERY_WHY,
)
_GATEWAY_HEARD = Text("Mottagaren hörs igen.", "The gateway is heard again.")
_BATTERY_WELL = Text("Batteriet är bytt eller laddat.", "The battery was changed or charged.")
TECHNICAL_RULES = (GATEWAY_SILENT, BATTERY_LOW)

# A new battery shows well above the level it was changed at; cells recover a few per cent when
# rested.
BATTERY_RETURNED_PERCENT = 30


@dataclass(frozen=True, slots=True)
class GatewayHeard:
    """When a gateway was last heard, all on the server's clock.

    ``offline_since`` is set by its will. ``last_heard_at`` is None for one that was never heard:
    not installed yet, so not silent. ``open`` is the severity of its open alert, if it has one.
    """

    name: str
    offline_since: datetime | None
    last_heard_at: datetime | None
    open: Severity | None = None


@dataclass(frozen=True, slots=True)
class BatteryRead:
    """What a device said of its battery, in per cent, and when. ``open`` as for the gateway."""

    device: str
    model: str
    percent: int
    read_at: datetime
    open: Severity | None = None


def gateway_silent(
    heard: GatewayHeard, as_of: datetime, *, listening_since: datetime
) -> Decision | None:
    """Decide about one gateway.

    ``listening_since`` is when the server began to listen: a server that was away blames nobody for
    what it did not hear. A will counts from when it came, since the broker itself says so.
    """
    subject = f"gateway:{heard.name}"
    if heard.open is not None and _is_heard(heard, as_of):
        return _closed(GATEWAY_SILENT, subject, as_of, _GATEWAY_HEARD)
    since = _silent_since(heard, as_of, listening_since)
    severity = None if since is None else _reached(as_of - since)
    if since is None or severity is None:
        return None
    if heard.open is not None and heard.open.rank >= severity.rank:
        return None
    texts = [
        _fill(GATEWAY_SILENT, language, subject=heard.name, age=age(as_of - since, language))
        for language in Language
    ]
    fired = _fired(GATEWAY_SILENT, subject, severity, (as_of, since), Text(*texts))
    if heard.open is None:
        return fired
    return replace(fired, decided=Decided.EXTEND, reason=Reason.RAISED)


def _is_heard(heard: GatewayHeard, as_of: datetime) -> bool:
    last = heard.last_heard_at
    return heard.offline_since is None and last is not None and as_of - last < _STATUS_MAX


def _silent_since(
    heard: GatewayHeard, as_of: datetime, listening_since: datetime
) -> datetime | None:
    if heard.offline_since is not None:
        return heard.offline_since
    if heard.last_heard_at is None:
        return None
    since = max(heard.last_heard_at, listening_since)
    return since if as_of - since >= _STATUS_MAX else None


def _reached(silent: timedelta) -> Severity | None:
    seconds = silent.total_seconds()
    return next((lv.severity for lv in GATEWAY_SILENT.levels if seconds >= lv.at), None)


def battery_low(read: BatteryRead, as_of: datetime) -> Decision | None:
    """Decide about one device's battery, with hysteresis so that a tired cell does not ring on and
    off.
    """
    subject = f"device:{read.device}"
    level = BATTERY_LOW.levels[0]
    if read.percent <= level.at:
        if read.open is not None:
            return None
        texts = [
            _fill(BATTERY_LOW, language, subject=read.model, level=str(read.percent))
            for language in Language
        ]
        return _fired(BATTERY_LOW, subject, level.severity, (as_of, read.read_at), Text(*texts))
    if read.open is not None and read.percent >= BATTERY_RETURNED_PERCENT:
        return _closed(BATTERY_LOW, subject, as_of, _BATTERY_WELL)
    return None


def lineage(decision: Decision) -> str:
    """Return the lineage a technical alert is stored under: one for each piece of equipment.

    One person may have two devices with low batteries, so a battery's lineage carries the device's
    name.
    """
    rule = decision.rule.rule
    if decision.rule is BATTERY_LOW:
        return f"{rule}/{decision.subject.removeprefix('device:')}"
    return rule


def _fill(rule: Technical, language: Language, **values: str) -> str:
    text = rule.text.sv if language is Language.SV else rule.text.en
    for placeholder, value in values.items():
        text = text.replace("{" + placeholder + "}", value)
    return text


def _fired(
    rule: Technical, subject: str, severity: Severity, times: tuple[datetime, datetime], text: Text
) -> Decision:
    decided_at, since = times
    rule_version = version(rule)
    return Decision(
        subject=subject,
        rule=rule,
        version=rule_version,
        decided=Decided.FIRE,
        reason=Reason.TECHNICAL,
        severity=severity,
        decided_at=decided_at,
        alert_id=alert_id(subject, rule.rule, rule_version, since.isoformat()),
        evidence=(),
        text=text,
    )


def _closed(rule: Technical, subject: str, as_of: datetime, text: Text) -> Decision:
    """Decide that the equipment is well again. Which alert that ends is known by its lineage, not
    by an id.
    """
    return Decision(
        subject=subject,
        rule=rule,
        version=version(rule),
        decided=Decided.CLEAR,
        reason=Reason.TECHNICAL,
        severity=rule.levels[-1].severity,
        decided_at=as_of,
        alert_id=None,
        evidence=(),
        text=text,
    )
