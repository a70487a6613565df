"""Which limit was passed and whose it is: the person's own with who set it, or the national one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from alerts.wording import rounded
from server.store.worklist import AlertRow, OwnLimitRow
from server.web.nurse import sayings
from server.web.nurse.bounds import Bounds, Passed
from server.web.words import Words


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits in words. ``is_rule_quoted`` tells whether the rule's own source belongs there: it
    does not beside a limit that a person in care has set.
    """

    said: Sequence[str]
    is_rule_quoted: bool


def limits(
    row: AlertRow,
    bounds: Bounds,
    passed: Sequence[Passed],
    own: Mapping[int, OwnLimitRow],
    words: Words,
) -> Limits:
    """Return whose limit each passed one is, in the order of the samples."""
    if not bounds.is_readable:
        said_so = words.text("Underlaget kan inte visas. Larmets text är den som sparades.")
        return Limits((said_so,), is_rule_quoted=True)
    if not passed:
        return Limits((), is_rule_quoted=True)
    said: dict[str, None] = {}
    is_rule_quoted = False
    for one in passed:
        if _is_own(row, bounds, one, own):
            said[_own(one, own.get(one.sample.component_id), words)] = None
        else:
            is_rule_quoted = True
            said[_national(row, words)] = None
    return Limits(tuple(said), is_rule_quoted)


def passing(one: Passed, severity: str, words: Words) -> str:
    """Say one sample and the limit it passed, such as "Övertryck 224 mmHg, över rött 220"."""
    component = sayings.component(one.sample.component_id)
    name = sayings.component_name(component, words)
    said = f"{name} {sayings.result(component, one.sample.value, one.sample.side, words)}"
    values = {"said": said, "limit": words.number(one.level, component.decimals)}
    value = one.sample.value
    if value is not None and (
        rounded(value, component.decimals) == rounded(one.level, component.decimals)
    ):
        # A limit is reached at its own value: neither over nor under would be true.
        if severity == "red":
            return words.text("%(said)s, på röd gräns", said=said)
        return words.text("%(said)s, på gul gräns", said=said)
    said_of = {
        ("red", True): words.text("%(said)s, över rött %(limit)s", **values),
        ("red", False): words.text("%(said)s, under rött %(limit)s", **values),
        ("yellow", True): words.text("%(said)s, över gult %(limit)s", **values),
        ("yellow", False): words.text("%(said)s, under gult %(limit)s", **values),
    }
    return said_of[severity, one.is_high]


def _is_own(row: AlertRow, bounds: Bounds, one: Passed, own: Mapping[int, OwnLimitRow]) -> bool:
    """Ask the limit that was in force, and where it is gone what the alert keeps of it."""
    bound = f"{row.severity}_{'high' if one.is_high else 'low'}"
    limit = own.get(one.sample.component_id)
    if limit is not None and getattr(limit, bound) == one.level:
        return True
    return bounds.origins.get(str(one.sample.component_id), {}).get(bound) == "patient"


def _own(one: Passed, limit: OwnLimitRow | None, words: Words) -> str:
    component = sayings.component(one.sample.component_id)
    name = sayings.component_name(component, words).lower()
    level = sayings.quantity(component, one.level, words)
    parts = [
        words.text("Personens egen gräns: %(name)s %(level)s eller högre", name=name, level=level)
        if one.is_high
        else words.text(
            "Personens egen gräns: %(name)s %(level)s eller lägre", name=name, level=level
        )
    ]
    if limit is not None:
        day = words.day(limit.since, year=True)
        parts.append(
            words.text("Satt av %(name)s %(day)s", name=limit.set_by, day=day)
            if limit.set_by
            else words.text("Satt %(day)s", day=day)
        )
    if limit is not None and limit.reason:
        parts.append(words.text("Skäl: %(reason)s", reason=limit.reason))
    return ". ".join(part.rstrip(".") for part in parts) + "."


def _national(row: AlertRow, words: Words) -> str:
    if row.patient_id is None:
        return words.text("Nationellt förslag, eftersom apparaten inte är kopplad till någon.")
    return words.text("Nationellt förslag, gäller tills personen får en egen gräns.")
