"""The uplink: rows leave home, and only the server's ack ends them.

Rules of the file:

1. A row written within the last 10 minutes is *fresh*: it travels alone, at once, on
   ``measurements``. Older rows travel up to 50 at a time on ``backlog``, at most four messages
   unanswered, so that they never stand before a fresh one.
2. PUBACK Success means that the value has left home, nothing more. 0x10 means that no server was
   listening: nothing is stored, and the backlog pauses.
3. No ack for 10 s: the row goes again, then with growing, jittered waits up to 10 minutes.
4. The broker away, or refusing: rows wait in the outbox; reconnecting waits longer each time.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import msgspec
import structlog

from devices import wire
from gateway.answers import Answers
from gateway.backoff import (
    RECONNECT_FIRST_S,
    RECONNECT_MAX_S,
    RESEND_FIRST_S,
    RESEND_MAX_S,
    Jitter,
    backoff_s,
)
from gateway.clock import ClockReading
from gateway.errors import LinkLost, LinkRefused, SessionTakenOver, StorageFull
from gateway.health import has_changed
from gateway.link import (
    FIRST_ERROR,
    NO_MATCHING_SUBSCRIBERS,
    SESSION_TAKEN_OVER,
    Arrived,
    Broker,
    Closed,
    Link,
    LinkState,
    Taken,
    connect,
)
from gateway.outbox import Outbox
from gateway.rows import Row, Written

log = structlog.get_logger("gateway.uplink")

FRESH_WINDOW = 16
BACKLOG_WINDOW = 4
STATUS_INTERVAL_S = 3600.0
STATUS_LOOK_S = 5.0
# A connection that lasted so long was a good one: waiting starts from the beginning after it.
STABLE_S = 60.0
# mosquitto 2.0 closes a session that is taken over without saying so (reason 0x8E); three
# connections in a row that the broker took and that died young have hardly another cause.
SHORT_LIVES_MAX = 3
# Two machines that share a name throw each other out; each comes back slowly enough to be noticed.
TAKEN_OVER_WAIT_S = 60.0
LOG_PER_MINUTE = 10

OnEvent = Callable[[str, Mapping[str, object]], None]


class StatusSource(Protocol):
    """Says how the gateway is, for ``status`` and for its will."""

    def status(
        self,
        state: Literal["online", "offline"],
        reason: Literal["will", "shutdown", "update", "power"] | None,
    ) -> wire.Status:
        """Return the status now."""
        ...


@dataclass(slots=True)
class _Flight:
    """What is under way on one connection."""

    messages: dict[int, str] = field(default_factory=dict)
    """Packet number → msg, until PUBACK."""
    backlog_until_ms: dict[str, int] = field(default_factory=dict)
    """Backlog message → when we stop waiting for its ack."""
    backlog_paused_until_ms: int = 0
    backlog_refusals: int = 0
    has_resent: bool = False
    """Whether a row went again for want of an ack since the last ack."""
    status: wire.Status | None = None
    status_ms: int = 0
    looked_ms: int = 0
    log_ms: list[int] = field(default_factory=list)


class Uplink:
    """Keeps the gateway connected and its outbox draining.

    ``bell`` is rung by whoever adds rows; ``jitter`` gives numbers in [0, 1); ``on_event`` is told
    "puback", "stored", "seen" and "nacked".
    """

    def __init__(
        self,
        *,
        broker: Broker,
        outbox: Outbox,
        clock: Callable[[], ClockReading],
        answers: Answers,
        status: StatusSource,
        bell: asyncio.Event,
        jitter: Jitter,
        on_event: OnEvent,
    ) -> None:
        self._broker = broker
        self._outbox = outbox
        self._clock = clock
        self._answers = answers
        self._status = status
        self._bell = bell
        self._jitter = jitter
        self._on_event = on_event
        self._flight = _Flight()
        self.link = LinkState(is_up=False, since_mono_ms=clock().mono_ms)
        self._to_report: list[tuple[str, dict[str, str | int]]] = []

    async def run(self, stop: asyncio.Event) -> None:
        """Connect, serve, connect again, until ``stop`` is set (ring the bell then)."""
        tries = short_lives = 0
        while not stop.is_set():
            up_ms: int | None = None
            tries += 1
            try:
                async with connect(self._broker, will=self._will(), bell=self._bell) as link:
                    up_ms = self._now_ms()
                    self.link = LinkState(is_up=True, since_mono_ms=up_ms)
                    await self._serve(link, stop)
            except StorageFull as error:
                # What cannot be noted as sent is not sent: it waits until there is room.
                await self._wait(error, tries, stop)
            except (LinkLost, LinkRefused, SessionTakenOver) as error:
                if up_ms is not None and self._now_ms() - up_ms >= STABLE_S * 1000:
                    tries, short_lives = 1, 0
                elif up_ms is not None:
                    short_lives += 1
                ended = self._takeover() if short_lives >= SHORT_LIVES_MAX else error
                await self._wait(ended, tries, stop)

    def _takeover(self) -> SessionTakenOver:
        return SessionTakenOver(
            f"Another client seems to connect as {self._broker.name}.",
            "Look for a second gateway with this name (a copied card) and enrol one anew.",
        )

    async def _wait(
        self,
        error: LinkLost | LinkRefused | SessionTakenOver | StorageFull,
        tries: int,
        stop: asyncio.Event,
    ) -> None:
        wait_s = backoff_s(
            tries, first_s=RECONNECT_FIRST_S, max_s=RECONNECT_MAX_S, jitter=self._jitter
        )
        since_ms = self._now_ms() if self.link.is_up else self.link.since_mono_ms
        self.link = LinkState(is_up=False, since_mono_ms=since_ms, reason=error.reason)
        event = "link_lost"
        if isinstance(error, LinkRefused):
            event = "link_refused"
        elif isinstance(error, StorageFull):
            event = "outbox_full"
        elif isinstance(error, SessionTakenOver):
            event = "session_taken_over"
            wait_s = TAKEN_OVER_WAIT_S * (1.0 + self._jitter())
            self._report(event)
        log.warning(
            event,
            reason=error.reason,
            remedy=error.remedy,
            retry_in_s=round(wait_s, 1),
            outbox=self._outbox.counts().open,
        )
        await _until(stop, wait_s)

    def _report(self, event: str) -> None:
        # What could not be told for long is dropped, newest first: the first cause matters.
        if len(self._to_report) < LOG_PER_MINUTE:
            self._to_report.append((event, {}))

    def _will(self) -> bytes:
        return wire.encode(self._status.status("offline", "will"))

    async def _serve(self, link: Link, stop: asyncio.Event) -> None:
        self._flight = _Flight()
        now_ms = self._now_ms()
        self._outbox.hasten(now_ms=now_ms, sent_before_ms=now_ms + 1)
        log.info("link_up", outbox=self._outbox.counts().open)
        while not stop.is_set():
            self._bell.clear()
            for event in link.drain():
                self._handle(link, event)
            self._report_status(link)
            self._report_log(link)
            self._send_fresh(link)
            self._send_backlog(link)
            await _until(self._bell, self._idle_s())
        self._publish_status(link, self._status.status("offline", "shutdown"))
        await self._flush(link)

    async def _flush(self, link: Link) -> None:
        # The last status should be out before the connection closes; three seconds are plenty.
        until_ms = self._now_ms() + 3000
        while self._flight.messages and self._now_ms() < until_ms:
            self._bell.clear()
            for event in link.drain():
                self._handle(link, event)
            if self._flight.messages:
                await _until(self._bell, 0.5)

    # --- sending -------------------------------------------------------------------------------

    def _send_fresh(self, link: Link) -> None:
        window = FRESH_WINDOW - len(self._flight.messages)
        if window <= 0:
            return
        for row in self._outbox.fresh(now_ms=self._now_ms(), limit=window):
            self._send(link, "measurements", (row,))

    def _send_backlog(self, link: Link) -> None:
        flight, now_ms = self._flight, self._now_ms()
        flight.backlog_until_ms = {
            msg: until for msg, until in flight.backlog_until_ms.items() if until > now_ms
        }
        if now_ms < flight.backlog_paused_until_ms:
            return
        while len(flight.backlog_until_ms) < BACKLOG_WINDOW:
            rows = self._outbox.backlog(now_ms=now_ms)
            if not rows:
                return
            msg = self._send(link, "backlog", rows)
            flight.backlog_until_ms[msg] = now_ms + int(RESEND_FIRST_S * 1000)

    def _send(self, link: Link, leaf: str, rows: Sequence[Row]) -> str:
        reading, msg = self._clock(), str(uuid.uuid4())
        envelope = wire.RawEnvelope(
            v=wire.VERSION,
            msg=msg,
            boot=rows[0].boot,
            sent=reading.utc,
            items=tuple(msgspec.Raw(row.item) for row in rows),
        )
        due = [reading.mono_ms + self._resend_ms(row.attempts + 1) for row in rows]
        # Noted first: on a full disk a row that went without a note would go again and again.
        self._outbox.mark_sent(rows, msg=msg, now_ms=reading.mono_ms, next_try_ms=due)
        mid = link.publish(leaf, wire.encode(envelope), msg=msg)
        self._flight.messages[mid] = msg
        self._flight.has_resent |= any(row.attempts for row in rows)
        return msg

    def _resend_ms(self, attempts: int) -> int:
        wait_s = backoff_s(
            attempts, first_s=RESEND_FIRST_S, max_s=RESEND_MAX_S, jitter=self._jitter
        )
        return int(wait_s * 1000)

    # --- hearing -------------------------------------------------------------------------------

    def _handle(self, link: Link, event: Arrived | Taken | Closed) -> None:
        match event:
            case Taken():
                self._puback(event)
            case Arrived():
                self._answer(link, event)
                link.confirm(event)
            case Closed(reason_code=code) if code == SESSION_TAKEN_OVER:
                raise self._takeover()
            case Closed():
                raise LinkLost(f"The connection broke ({event.reason}).", "Values are kept.")

    def _puback(self, taken: Taken) -> None:
        flight = self._flight
        msg = flight.messages.pop(taken.mid, "")
        if taken.reason_code >= FIRST_ERROR:
            log.error("publish_refused", reason_code=taken.reason_code)
        elif taken.reason_code == NO_MATCHING_SUBSCRIBERS and msg:
            self._pause_backlog()
        elif msg:
            self._tell("puback", self._outbox.mark_left_home(msg))

    def _pause_backlog(self) -> None:
        flight = self._flight
        flight.backlog_refusals += 1
        wait_s = backoff_s(
            flight.backlog_refusals, first_s=RESEND_FIRST_S, max_s=60.0, jitter=self._jitter
        )
        flight.backlog_paused_until_ms = self._now_ms() + int(wait_s * 1000)
        log.warning("no_server_listens", retry_in_s=round(wait_s, 1))

    def _answer(self, link: Link, message: Arrived) -> None:
        if not message.payload:
            return
        try:
            answer = self._answers.take(message.leaf, message.payload)
        except wire.WireError as error:
            log.warning("unreadable_message", leaf=message.leaf, reason=error.reason)
            return
        for event, rows in answer.events:
            self._tell(event, rows)
        if answer.acked_msg is not None:
            self._flight.backlog_until_ms.pop(answer.acked_msg, None)
            self._server_is_there()
        if answer.config is not None:
            link.publish("config/reported", wire.encode(answer.config))

    def _server_is_there(self) -> None:
        flight = self._flight
        if flight.backlog_refusals or flight.has_resent:
            now_ms = self._now_ms()
            sent_before_ms = now_ms - int(RESEND_FIRST_S * 1000)
            self._outbox.hasten(now_ms=now_ms, sent_before_ms=sent_before_ms)
        flight.backlog_refusals = flight.backlog_paused_until_ms = 0
        flight.has_resent = False

    # --- saying how we are ---------------------------------------------------------------------

    def _report_status(self, link: Link) -> None:
        flight, now_ms = self._flight, self._now_ms()
        if flight.status is not None and now_ms - flight.looked_ms < STATUS_LOOK_S * 1000:
            return
        flight.looked_ms = now_ms
        status = self._status.status("online", None)
        is_due = now_ms - flight.status_ms >= STATUS_INTERVAL_S * 1000
        if flight.status is None or is_due or has_changed(flight.status, status):
            flight.status, flight.status_ms = status, now_ms
            self._publish_status(link, status)

    def _publish_status(self, link: Link, status: wire.Status) -> None:
        self._flight.messages[link.publish("status", wire.encode(status), retain=True)] = ""

    def _report_log(self, link: Link) -> None:
        flight, now_ms = self._flight, self._now_ms()
        flight.log_ms = [at for at in flight.log_ms if now_ms - at < 60_000]
        while self._to_report and len(flight.log_ms) < LOG_PER_MINUTE:
            event, fields = self._to_report.pop(0)
            payload = {"v": wire.VERSION, "event": event, **fields}
            link.publish("log", msgspec.json.encode(payload), qos=0)
            flight.log_ms.append(now_ms)

    def _tell(self, event: str, rows: Sequence[Written]) -> None:
        for row in rows:
            self._on_event(event, {"uid": row.uid, "seq": row.seq, "boot": row.boot})

    def _now_ms(self) -> int:
        return self._clock().mono_ms

    def _idle_s(self) -> float:
        due_ms = self._outbox.next_due_ms()
        if due_ms is None:
            return STATUS_LOOK_S
        # A due row that could not go (window full, backlog paused) is looked at again shortly.
        return min(
            STATUS_LOOK_S,
            max(1.0 if due_ms <= self._now_ms() else 0.0, (due_ms - self._now_ms()) / 1000),
        )


async def _until(event: asyncio.Event, timeout_s: float) -> None:
    """Wait for ``event``, at most ``timeout_s``."""
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return
