"""What the server's messages do to the outbox: acks, receipts, requests, configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from devices import wire
from gateway.backoff import LATER_FIRST_S, LATER_MAX_S, Jitter, backoff_s
from gateway.clock import ClockReading
from gateway.instructions import apply_config, keep_request
from gateway.outbox import Outbox
from gateway.rows import Draft, Written
from gateway.storage import explained

log = structlog.get_logger("gateway.answers")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one message: events for rows, the acked msg, what to report on config."""

    events: tuple[tuple[str, tuple[Written, ...]], ...] = ()
    acked_msg: str | None = None
    config: wire.ConfigReported | None = None


class Answers:
    """Takes the server's messages for ``gateway``; ``key`` is the pinned configuration key."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        gateway: str,
        key: bytes | None,
        clock: Callable[[], ClockReading],
        jitter: Jitter,
    ) -> None:
        self._outbox = outbox
        self._gateway = gateway
        self._key = key
        self._clock = clock
        self._jitter = jitter

    def take(self, leaf: str, payload: bytes) -> Answer:
        """Act on a message of ``leaf``; raises wire.WireError where it cannot be read.

        Raises StorageFull and StorageUnusable where what it asks cannot be written down.
        """
        with explained(self._outbox.path):
            return self._take(leaf, payload)

    def _take(self, leaf: str, payload: bytes) -> Answer:
        match leaf:
            case "ack":
                return self._ack(wire.decode(payload, wire.Ack))
            case "receipts":
                return self._receipts(wire.decode(payload, wire.Receipts))
            case "requests":
                return self._request(wire.decode(payload, wire.Request), payload)
            case "config":
                return self._config(payload)
            case _:
                log.warning("unknown_topic", leaf=leaf)
                return Answer()

    def _ack(self, ack: wire.Ack) -> Answer:
        stored = self._outbox.mark_stored(ack.boot, ack.stored, at=_known_time(self._clock()))
        nacked: tuple[Written, ...] = ()
        for nack in ack.nack:
            nacked += self._nack(ack, nack)
        return Answer(events=(("stored", stored), ("nacked", nacked)), acked_msg=ack.msg)

    def _nack(self, ack: wire.Ack, nack: wire.Nack) -> tuple[Written, ...]:
        log.warning("nacked", boot=ack.boot, seq=nack.seq, reason=nack.reason, retry=nack.retry)
        if nack.seq is not None:
            return self._nack_row(ack.boot, nack.seq, nack)
        rows = self._outbox.of_message(ack.msg)
        if len(rows) > 1 and nack.retry == "never":
            # The message could not be read: one of its items is to blame, and only that one.
            return self._outbox.send_singly(ack.msg)
        return tuple(written for row in rows for written in self._nack_row(row.boot, row.seq, nack))

    def _nack_row(self, boot: str, seq: int, nack: wire.Nack) -> tuple[Written, ...]:
        reading = self._clock()
        if nack.retry == "never":
            at = _known_time(reading)
            return self._outbox.mark_rejected(boot, seq, reason=nack.reason, at=at)
        return self._outbox.postpone(
            boot, seq, reason=nack.reason, delay_ms=self._later_ms, now_ms=reading.mono_ms
        )

    def _later_ms(self, attempts: int) -> int:
        wait_s = backoff_s(attempts, first_s=LATER_FIRST_S, max_s=LATER_MAX_S, jitter=self._jitter)
        return int(wait_s * 1000)

    def _receipts(self, receipts: wire.Receipts) -> Answer:
        seen: tuple[Written, ...] = ()
        for receipt in receipts.items:
            seen += self._outbox.mark_seen(receipt.uid, at=receipt.seen, unit=receipt.unit)
        return Answer(events=(("seen", seen),))

    def _request(self, request: wire.Request, payload: bytes) -> Answer:
        reading = self._clock()
        if request.expires <= reading.utc and reading.quality == "ntp":
            log.info("request_expired", ask=request.ask)
            return Answer()
        if not keep_request(self._outbox.connection, request, payload):
            return Answer()
        if request.ask == "resend" and request.since is not None:
            again = self._outbox.send_again_since(request.since)
            log.info("resending", rows=len(again))
            self._outbox.append(self._resend_event(request, len(again), reading), reading)
        return Answer()

    def _resend_event(self, request: wire.Request, rows: int, reading: ClockReading) -> Draft:
        return Draft(
            wire.Item(
                seq=0,
                uid="0" * 32,
                type="event",
                event="resend",
                ctx={"request": request.id, "rows": rows},
                t=reading.utc,
                tq="gateway" if reading.quality == "ntp" else "estimated",
                gw_t=reading.utc,
                gw_q=reading.quality,
                mono_ms=reading.mono_ms,
            )
        )

    def _config(self, payload: bytes) -> Answer:
        reported = apply_config(
            self._outbox.connection,
            payload,
            gateway=self._gateway,
            key=self._key,
            at=self._clock().utc,
        )
        if not reported.ok:
            log.warning("config_refused", reason=reported.error, serial=reported.serial)
        return Answer(config=reported)


def _known_time(reading: ClockReading) -> datetime | None:
    # From a clock that was never set, the 7 days that an acked row stays would run out at once.
    return None if reading.quality == "none" else reading.utc
