"""Rules as a file: a JSON array of rules, each as an alert keeps it (``rules.py``)."""

from __future__ import annotations

import msgspec

from alerts.errors import RuleError
from alerts.rules import Rule, Technical, Threshold

_RULES = msgspec.json.Decoder(tuple[msgspec.Raw, ...])
_RULE: msgspec.json.Decoder[Rule] = msgspec.json.Decoder(Threshold | Technical)


def read(data: bytes) -> tuple[Rule, ...]:
    """Return the rules of a file, in its order.

    Raises RuleError, which names the rule by its place and lineage, and what is wrong with it.
    """
    try:
        raws = _RULES.decode(data)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise RuleError(f"not a JSON array of rules: {error}") from error
    rules = tuple(_rule(raw, number) for number, raw in enumerate(raws, start=1))
    doubled = {rule.rule for rule in rules if [one.rule for one in rules].count(rule.rule) > 1}
    if doubled:
        raise RuleError(f"stands there twice: {', '.join(sorted(doubled))}; a lineage is one rule")
    return rules


def _rule(raw: msgspec.Raw, number: int) -> Rule:
    try:
        return _RULE.decode(raw)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise RuleError(f"rule {number}{_called(raw)}: {error}") from error


class _Named(msgspec.Struct):
    rule: str


def _called(raw: msgspec.Raw) -> str:
    try:
        return f" ({msgspec.json.decode(raw, type=_Named).rule})"
    except (msgspec.DecodeError, UnicodeError):
        return ""
