"""Refusals.

One small tree. Each carries the reason that the access log keeps and the HTTP status it becomes.
"""

from __future__ import annotations

from datetime import datetime

from server.store.access_log import Reason


class Refused(Exception):
    """A try that is not allowed. ``patient_id`` is set where the log should name the patient."""

    status = 403

    def __init__(self, reason: Reason, *, patient_id: int | None = None) -> None:
        super().__init__(str(reason))
        self.reason = reason
        self.patient_id = patient_id

    @property
    def problem(self) -> str:
        """Return the last part of the problem's type in the interface (RFC 9457)."""
        return str(self.reason)


class NotLoggedIn(Refused):
    """Nobody is logged in, the session has ended, or no assignment is chosen yet."""

    status = 401


class WrongCredentials(Refused):
    """Unknown login or wrong password; the two are never told apart."""

    status = 401

    def __init__(self) -> None:
        super().__init__(Reason.WRONG_CREDENTIALS)


class RateLimited(Refused):
    """Too many tries; ``retry_after_s`` says how long to wait."""

    status = 429

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(Reason.RATE_LIMITED)
        self.retry_after_s = retry_after_s


class WrongRole(Refused):
    """The chosen assignment does not hold the right."""

    def __init__(self) -> None:
        super().__init__(Reason.WRONG_ROLE)


class BadCsrf(Refused):
    """The request does not come from our own page."""

    def __init__(self) -> None:
        super().__init__(Reason.BAD_CSRF)


class NotVisible(Refused):
    """Not there, or another unit's: the answer is the same."""

    status = 404

    def __init__(self) -> None:
        super().__init__(Reason.NOT_VISIBLE)


class Unfit(Refused):
    """What was sent cannot be used: ``detail`` says why, ``problem`` which kind of wrong it is."""

    status = 422

    def __init__(self, detail: str = "", *, problem: str = "invalid") -> None:
        super().__init__(Reason.INVALID)
        self.detail = detail
        self._problem = problem

    @property
    def problem(self) -> str:
        """Return the kind of wrong: a client may do something about some of them."""
        return self._problem


class AlreadyKept(Refused):
    """The token has kept other values than these: the first are kept, these are not."""

    status = 409

    def __init__(self, *, patient_id: int) -> None:
        super().__init__(Reason.CONFLICT, patient_id=patient_id)


class Unreadable(Refused):
    """The alert's history is damaged or of a newer version: it cannot be changed, only read."""

    status = 409

    def __init__(self, *, patient_id: int | None) -> None:
        super().__init__(Reason.CONFLICT, patient_id=patient_id)

    @property
    def problem(self) -> str:
        """Return what tells it from somebody having been first."""
        return "unreadable_history"


class Conflicting(Refused):
    """Somebody else was first: ``holder`` since ``since``, or closed by ``holder`` at ``since``."""

    status = 409

    def __init__(
        self,
        *,
        holder: str | None,
        since: datetime | None,
        is_closed: bool,
        patient_id: int | None,
    ) -> None:
        super().__init__(Reason.CONFLICT, patient_id=patient_id)
        self.holder = holder
        self.since = since
        self.is_closed = is_closed
