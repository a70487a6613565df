"""Figures for an operator, in Prometheus' text format: what is answered, what waits, who looks.

Never a person, a home, a login or a value: the labels are route templates, statuses, severities,
states and jobs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.store.vital_signs import VitalSigns

LOG = structlog.get_logger()
NO_ROUTE = "none"
# Up to what a nurse waits for without wondering (0.3 s), and what she does not (3 s).
SECONDS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of this process."""

    registry: CollectorRegistry
    answers: Counter
    seconds: Histogram
    lookers: Gauge
    database: Gauge
    counts: Mapping[str, Gauge]
    ages: Mapping[str, Gauge]

    @classmethod
    def new(cls) -> Figures:
        """Return figures of this process, all at zero."""
        registry = CollectorRegistry()

        def gauge(name: str, said: str, labels: tuple[str, ...] = ()) -> Gauge:
            return Gauge(f"hemma_{name}", said, labels, registry=registry)

        return cls(
            registry=registry,
            answers=Counter(
                "hemma_web_answers", "Answers given", ("route", "status"), registry=registry
            ),
            seconds=Histogram(
                "hemma_web_answer_seconds",
                "Time to the first byte of an answer",
                ("route",),
                buckets=SECONDS,
                registry=registry,
            ),
            lookers=gauge("web_live_lists", "Work lists that are open and updated live"),
            database=gauge("database_up", "1 while the database answers"),
            counts={
                "open_alerts": gauge("open_alerts", "Alerts that are not closed", ("severity",)),
                "untaken_alerts": gauge(
                    "untaken_alerts", "Open alerts that nobody has taken", ("severity",)
                ),
                "gateways": gauge("gateways", "Registered gateways", ("state",)),
                "upkeep_failures": gauge(
                    "upkeep_failures", "Failed runs since the job last went well", ("job",)
                ),
                "upkeep_overdue_s": gauge(
                    "upkeep_overdue_seconds", "For how long the job has been due", ("job",)
                ),
            },
            ages={
                "inbox_rows": gauge("engine_inbox_rows", "Values that the rules have not judged"),
                "inbox_age_s": gauge(
                    "engine_inbox_age_seconds", "How long the oldest unjudged value has waited"
                ),
                "value_age_s": gauge(
                    "newest_value_age_seconds",
                    "Since the newest of the people's latest values was stored",
                ),
                "heard_age_s": gauge(
                    "newest_gateway_message_age_seconds", "Since any gateway was heard"
                ),
                "quarantine_rows": gauge("quarantine_rows", "What could not be read"),
                "receipts_unsent": gauge("receipts_unsent", "Seen values not told to their homes"),
            },
        )

    def show(self, signs: VitalSigns | None, *, lookers: int) -> bytes:
        """Return everything as text. ``signs`` None: the database is away, and what was known of it
        is taken back, so that an old figure never looks like a fresh one.
        """
        self.lookers.set(lookers)
        self.database.set(0 if signs is None else 1)
        for name, gauge in self.counts.items():
            gauge.clear()
            by_label: Mapping[str, float] = {} if signs is None else getattr(signs, name)
            for label, count in by_label.items():
                gauge.labels(label).set(count)
        for name, gauge in self.ages.items():
            value = None if signs is None else getattr(signs, name)
            gauge.set(float("nan") if value is None else value)
        return generate_latest(self.registry)


class Counted:
    """Counts the answers of an application, and their time, by route template and status."""

    def __init__(self, app: ASGIApp, figures: Figures, *, time_s: Callable[[], float]) -> None:
        self._app = app
        self._figures = figures
        self._time_s = time_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and count its answer."""
        began_s = self._time_s()

        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", NO_ROUTE)
                self._figures.answers.labels(route, str(message["status"])).inc()
                self._figures.seconds.labels(route).observe(self._time_s() - began_s)
            await send(message)

        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            await self._app(scope, receive, counting)
        except Exception as error:  # noqa: BLE001 - outermost: answered and logged in faults
            # uvicorn would log the message too, and a driver's message may quote a person's row.
            LOG.debug("request_broken_answered", error=type(error).__name__)
