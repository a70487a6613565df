"""The daily certificate: a chain of digests over what the server stored of one gateway.

A gateway can check it against its own outbox, and the server against its own rows. It vouches for
the presence of rows, by ``uid`` only: a corrected time, a flag or another patient leave it valid,
and so does content that was erased by law, whose row hash is kept.

The exact bytes hashed with SHA-256, so that another implementation gets the same:

- row: ``hemma-row-v1``, one zero byte, the boot id as 16 bytes, ``seq`` as 8 bytes big-endian, the
  uid as 16 bytes;
- range (rows of one boot whose numbers have no hole): ``hemma-range-v1``, one zero byte, the row
  hashes in the order of ``seq`` (of two with one number, the lesser hash first);
- day: ``hemma-day-v1``, one zero byte, the chain of the gateway's certificate before (32 zero bytes
  for its first), the gateway's name in UTF-8, one zero byte, the day as YYYY-MM-DD, then each range
  by boot and first number: the boot id as 16 bytes, first and last ``seq`` as 8 bytes big-endian
  each, the range's digest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from hashlib import sha256
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from devices.errors import WireError
from devices.wire.shapes import Count, Seq, Time, Uuid

CERTIFICATE_VERSION = 1
DIGEST_BYTES = 32
Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class CertifiedRange(Struct, frozen=True, order=True):
    """Numbers ``first`` to ``last`` of ``boot``, all stored that day; ``digest`` in hex."""

    boot: Uuid
    first: Seq
    last: Seq
    digest: Digest


class Certificate(Struct, frozen=True):
    """What the server says that it stored of ``gateway`` on the UTC day ``day``, by its clock.

    ``chain`` rests on ``previous``, that of the gateway's certificate before (None: the first).
    """

    v: int
    gateway: str
    day: date
    made_at: Time
    rows: Count
    previous: Digest | None
    chain: Digest
    ranges: tuple[CertifiedRange, ...]


def row_hash(boot: UUID, seq: int, uid: UUID) -> bytes:
    """Return the 32 bytes that one row contributes."""
    return sha256(b"hemma-row-v1\0" + boot.bytes + seq.to_bytes(8, "big") + uid.bytes).digest()


def range_digest(hashes: Iterable[bytes]) -> bytes:
    """Return the digest of rows without a hole, ``hashes`` in the order of their numbers."""
    digest = sha256(b"hemma-range-v1\0")
    for one in hashes:
        digest.update(one)
    return digest.digest()


def certified_ranges(boot: UUID, rows: Sequence[tuple[int, bytes]]) -> tuple[CertifiedRange, ...]:
    """Cut the ``(seq, row hash)`` of one boot, ascending, where a number is missing.

    Two rows of one number, as a cloned card would send them, both count.
    """
    ranges: list[CertifiedRange] = []
    start = 0
    for i in range(1, len(rows) + 1):
        if i == len(rows) or rows[i][0] > rows[i - 1][0] + 1:
            digest = range_digest(one for _, one in rows[start:i])
            ranges.append(CertifiedRange(str(boot), rows[start][0], rows[i - 1][0], digest.hex()))
            start = i
    return tuple(ranges)


def chain_hash(
    previous: bytes | None, gateway: str, day: date, ranges: Iterable[CertifiedRange]
) -> bytes:
    """Return the 32 bytes that stand for this day and, through ``previous``, all before it."""
    digest = sha256(b"hemma-day-v1\0")
    digest.update(previous if previous is not None else bytes(DIGEST_BYTES))
    digest.update(gateway.encode() + b"\0" + day.isoformat().encode())
    for one in sorted(ranges, key=lambda one: (UUID(one.boot).bytes, one.first)):
        digest.update(UUID(one.boot).bytes)
        digest.update(one.first.to_bytes(8, "big") + one.last.to_bytes(8, "big"))
        digest.update(bytes.fromhex(one.digest))
    return digest.digest()


def chain_of(certificate: Certificate) -> str:
    """Return in hex what ``certificate.chain`` must be by the rest of it."""
    previous = None if certificate.previous is None else bytes.fromhex(certificate.previous)
    return chain_hash(previous, certificate.gateway, certificate.day, certificate.ranges).hex()


def read_certificate(text: bytes) -> Certificate:
    """Read a certificate from JSON, however many ranges it has.

    Raises WireError: ``bad_certificate`` or ``unsupported_version``.
    """
    try:
        found = msgspec.json.decode(text, type=Certificate)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError("bad_certificate", str(error)) from error
    if found.v != CERTIFICATE_VERSION:
        raise WireError("unsupported_version", str(found.v))
    return found
