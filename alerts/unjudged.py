"""Values that the rules could not judge: stored data are damaged, or of a newer version.

Rules of this file: it never looks approved. It is yellow, because what nobody has judged may be
yellow: somebody looks the same working day. It is red as soon as one raw value reaches a red level
(design.md, safety rule 2), and red when not even the raw values can be read. Only a person ends it,
since only a person has looked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from alerts.decision import Decided, Decision, Reason, alert_id
from alerts.engine import Episode, finding
from alerts.rules import Cause, Level, Severity, Technical, Text, Threshold, version
from alerts.series import Reading
from alerts.threshold import Judged, Verdict, judge
from alerts.wording import Language

_WHY = "Teknisk regel: ett värde som ingen har bedömt får aldrig se godkänt ut"

NOT_JUDGED = Technical(
    rule="unjudged",
    cause=Cause.NOT_JUDGED,
    levels=(Level(Severity.RED, 1.0), Level(Severity.YELLOW, 0.0)),
    text=Text(
        "Värden kan inte bedömas automatiskt – titta själv på värdena.",
        "Values cannot be judged automatically – look at the values yourself.",
    ),
    why=_WHY,
)
NOT_READ = Technical(
    rule="unjudged.unread",
    cause=Cause.NOT_JUDGED,
    # What cannot be read may be red.
    levels=(Level(Severity.RED, 0.0),),
    text=Text(
        "Värden kan varken bedömas eller läsas automatiskt – kontakta personen.",
        "Values can neither be judged nor read automatically – contact the person.",
    ),
    why=_WHY,
)
_RED_LEAD = {Language.SV: "Rött värde: ", Language.EN: "Red value: "}


def not_judged(
    subject: str,
    waiting: Sequence[Reading],
    rules: Sequence[Threshold],
    episode: Episode | None,
    as_of: datetime,
) -> Decision | None:
    """Decide about a subject whose ``waiting`` readings could not be judged.

    ``rules`` are those whose red levels count, ``episode`` the newest alert of this lineage. None
    when every reading is cited by it already, or when what waits are no readings of the person
    (alerts/standing.py): nothing new waits. Raises ReadingError for a value that is not a number.
    """
    readings = tuple(r for r in waiting if r.is_of_the_person())
    new = tuple(r for r in readings if episode is None or r.key not in episode.cited)
    if not new and (waiting or episode is not None):
        return None
    red = _red(new, rules)
    reached = next(level.severity for level in NOT_JUDGED.levels if len(red) >= level.at)
    text = Text(_text(red, Language.SV), _text(red, Language.EN))
    first = new[0].uid if new else as_of.isoformat()
    fired = _fired(NOT_JUDGED, subject, reached, text, first, as_of)
    if episode is None or not episode.is_open:
        return replace(fired, evidence=new)
    return replace(
        fired,
        decided=Decided.EXTEND,
        severity=max(reached, episode.severity, key=lambda severity: severity.rank),
        alert_id=episode.alert_id,
        evidence=new,
    )


def not_read(subject: str, newest: str, as_of: datetime) -> Decision:
    """Decide about a subject whose waiting values cannot even be read.

    ``newest`` is the uid of the last of them. The same one gives the same alert, so that trying
    again opens no second one.
    """
    return _fired(NOT_READ, subject, Severity.RED, NOT_READ.text, newest, as_of)


def _red(readings: Sequence[Reading], rules: Sequence[Threshold]) -> tuple[Judged, ...]:
    """Return each reading that reaches a red level, once. Red reads the raw value, so alone."""
    found: dict[tuple[str, int], Judged] = {}
    for reading in readings:
        for rule in rules:
            for judged in judge(rule, (reading,), ()):
                if judged.verdict is Verdict.RED:
                    found.setdefault(reading.key, judged)
    return tuple(found.values())


def _text(red: Sequence[Judged], language: Language) -> str:
    text = NOT_JUDGED.text.sv if language is Language.SV else NOT_JUDGED.text.en
    if not red:
        return text
    return f"{_RED_LEAD[language]}{', '.join(finding(j, language) for j in red)}. {text}"


def _fired(
    rule: Technical, subject: str, severity: Severity, text: Text, first: str, as_of: datetime
) -> Decision:
    rule_version = version(rule)
    return Decision(
        subject=subject,
        rule=rule,
        version=rule_version,
        decided=Decided.FIRE,
        reason=Reason.NOT_JUDGED,
        severity=severity,
        decided_at=as_of,
        alert_id=alert_id(subject, rule.rule, rule_version, first),
        evidence=(),
        text=text,
    )
