"""What can be wrong with a rule, a limit or an alert's history. All are somebody's input, never the
engine's.
"""

from __future__ import annotations


class AlertsError(ValueError):
    """Root of what this package raises. A ValueError, so that msgspec reports it as bad input."""


class LimitsContradictError(AlertsError):
    """Limits whose outer bounds do not contain the inner ones. Whoever sets the limit must correct
    it.
    """


class RuleError(AlertsError):
    """A rule that cannot mean what it says: an unknown placeholder, an unknown component, nothing
    to exceed.
    """


class ReadingError(AlertsError):
    """A stored value that is not a number. What has none is stored as absent, with its reason."""


class HistoryError(AlertsError):
    """Events that no alert can have had: the stored history is damaged, or was written by a newer
    version.
    """


class VitalsError(AlertsError):
    """An observation that cannot be what it says: a share instead of per cent, another unit.

    ``reason`` is one word for programs, ``detail`` a sentence for whoever sent it; neither holds
    the value.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
