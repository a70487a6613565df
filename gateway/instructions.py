"""What the server tells and asks the gateway: configuration and requests.

A configuration is applied only when the key pinned at enrolment signed it, it names this gateway
and its serial is newer than the last one applied; else it is refused with a reason that is reported
back, and the last good one stays in force.

The pinned key's id (``kid``) is learnt with the first configuration that it signs, a successor's
with the one that names it; another id is another key, whatever the signature.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from devices import wire
from gateway.clock import text_of
from gateway.errors import SettingsInvalid
from gateway.settings import config_key_of
from gateway.storage import transaction

REQUESTS_MAX = 100
NO_SERIAL = -1


@dataclass(frozen=True, slots=True)
class Applied:
    """The configuration in force: its serial and the body as the server signed it."""

    serial: int
    payload: bytes


def last_config(connection: sqlite3.Connection) -> Applied | None:
    """Return the configuration in force, None before the first."""
    row = connection.execute(
        "SELECT serial, payload FROM config ORDER BY serial DESC LIMIT 1"
    ).fetchone()
    return None if row is None else Applied(*row)


def apply_config(
    connection: sqlite3.Connection, payload: bytes, *, gateway: str, key: bytes | None, at: datetime
) -> wire.ConfigReported:
    """Check and keep a configuration message; returns what to report. Nothing is kept on refusal.

    ``key`` is the public key pinned at enrolment, None before it. Raises wire.WireError where the
    message is not a configuration at all.
    """
    config = wire.decode(payload, wire.Config)
    last = last_config(connection)
    if last is not None and last.payload == payload:
        # The retained message comes again at every connection: known, and still in force.
        return _reported(last.serial, None)
    last_serial = NO_SERIAL if last is None else last.serial
    try:
        body = _open(connection, config, gateway=gateway, key=key, last_serial=last_serial)
    except wire.ConfigRefused as refusal:
        return _reported(max(last_serial, 0), str(refusal))
    with transaction(connection):
        connection.execute(
            "INSERT INTO config (serial, payload, applied_t) VALUES (?, ?, ?)",
            (body.serial, payload, text_of(at)),
        )
        if key is not None:
            successor = body.next_key
            if successor is not None:
                _rotate(connection, pinned=key, successor=_raw_key(successor))
            _note_kid(connection, pinned=key, kid=successor.kid if successor else config.kid)
    return _reported(body.serial, None)


def _open(
    connection: sqlite3.Connection,
    config: wire.Config,
    *,
    gateway: str,
    key: bytes | None,
    last_serial: int,
) -> wire.ConfigBody:
    if key is None:
        raise wire.ConfigRefused("no_key", "none was pinned at enrolment")
    public = Ed25519PublicKey.from_public_bytes(_current_key(connection, key))
    known_kid = _current_kid(connection, key)

    def verify(kid: str, signature: bytes, message: bytes) -> bool:
        if known_kid not in (None, kid):
            return False
        try:
            public.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    body = wire.open_config(config, gateway=gateway, last_serial=last_serial, verify=verify)
    if body.next_key is not None:
        _raw_key(body.next_key)
    return body


def _raw_key(successor: wire.NextKey) -> bytes:
    try:
        key = config_key_of(successor.key)
    except SettingsInvalid as error:
        raise wire.ConfigRefused("bad_next_key", successor.kid) from error
    if key is None:
        raise wire.ConfigRefused("bad_next_key", successor.kid)
    return key


def _current_key(connection: sqlite3.Connection, pinned: bytes) -> bytes:
    """Return the successor of ``pinned`` where one was named; a new enrolment starts anew."""
    row = connection.execute("SELECT value FROM meta WHERE key='config_key'").fetchone()
    if row is None:
        return pinned
    root, successor = row["value"].split(":")
    return bytes.fromhex(successor) if root == pinned.hex() else pinned


def _current_kid(connection: sqlite3.Connection, pinned: bytes) -> str | None:
    """Return the id of the key in force; None until a configuration under it was applied."""
    row = connection.execute("SELECT value FROM meta WHERE key='config_kid'").fetchone()
    if row is None:
        return None
    root, kid = row["value"].split(":", 1)
    return kid if root == pinned.hex() else None


def _note_kid(connection: sqlite3.Connection, *, pinned: bytes, kid: str) -> None:
    connection.execute(
        "INSERT INTO meta (key, value) VALUES ('config_kid', ?)"
        " ON CONFLICT (key) DO UPDATE SET value=excluded.value",
        (f"{pinned.hex()}:{kid}",),
    )


def _rotate(connection: sqlite3.Connection, *, pinned: bytes, successor: bytes) -> None:
    connection.execute(
        "INSERT INTO meta (key, value) VALUES ('config_key', ?)"
        " ON CONFLICT (key) DO UPDATE SET value=excluded.value",
        (f"{pinned.hex()}:{successor.hex()}",),
    )


def _reported(serial: int, error: str | None) -> wire.ConfigReported:
    return wire.ConfigReported(v=wire.VERSION, serial=serial, ok=error is None, error=error)


def keep_request(connection: sqlite3.Connection, request: wire.Request, payload: bytes) -> bool:
    """Keep a request; returns False where it was known. The oldest beyond 100 make room."""
    with transaction(connection):
        cursor = connection.execute(
            "INSERT INTO request (id, ask, kind, payload, expires) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT DO NOTHING",
            (request.id, request.ask, request.kind, payload, text_of(request.expires)),
        )
        connection.execute(
            "DELETE FROM request WHERE rowid NOT IN"
            " (SELECT rowid FROM request ORDER BY rowid DESC LIMIT ?)",
            (REQUESTS_MAX,),
        )
    return cursor.rowcount > 0


def open_requests(connection: sqlite3.Connection, now: datetime) -> tuple[wire.Request, ...]:
    """Return what the home screen should ask the patient for, oldest first."""
    rows = connection.execute(
        "SELECT payload FROM request WHERE ask IN ('repeat', 'missing') AND expires>?"
        " ORDER BY rowid",
        (text_of(now),),
    )
    return tuple(wire.decode(row["payload"], wire.Request) for row in rows)
