"""Signed configurations: sealed by the server, opened by the one gateway they are for.

The signature is over ``hemma-config-v1``, a zero byte and the body's exact bytes, so a signature
made for anything else proves nothing here. It is checked before the body is read. Signing itself is
the caller's: this package holds no cryptography.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable

import msgspec

from devices.errors import ConfigRefused
from devices.wire.encoding import encode
from devices.wire.shapes import VERSION, Config, ConfigBody

_DOMAIN = b"hemma-config-v1\0"
_BASE64URL = re.compile(r"[A-Za-z0-9_-]*")


def signed_bytes(body: bytes) -> bytes:
    """Return what an Ed25519 key signs for a configuration with these body bytes."""
    return _DOMAIN + body


def seal_config(body: ConfigBody, *, kid: str, sign: Callable[[bytes], bytes]) -> Config:
    """Return ``body`` signed; ``sign`` makes the 64-byte signature with the key called ``kid``."""
    packed = encode(body)
    signature = sign(signed_bytes(packed))
    return Config(v=VERSION, kid=kid, body=_to_base64url(packed), sig=_to_base64url(signature))


def open_config(
    config: Config,
    *,
    gateway: str,
    last_serial: int,
    verify: Callable[[str, bytes, bytes], bool],
) -> ConfigBody:
    """Return what ``config`` says, if it is genuine, new and for ``gateway``.

    ``verify`` takes key id, signature and message, and is false for a key it does not know.
    ``last_serial`` is the last one applied, -1 for none. Raises ConfigRefused with its reason.
    """
    if config.v != VERSION:
        raise ConfigRefused("unsupported_version", str(config.v))
    packed = _from_base64url(config.body)
    signature = _from_base64url(config.sig)
    if not verify(config.kid, signature, signed_bytes(packed)):
        raise ConfigRefused("bad_signature", f"key {config.kid!r}")
    try:
        body = msgspec.json.decode(packed, type=ConfigBody)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigRefused("bad_body", str(error)) from error
    if body.for_ != gateway:
        raise ConfigRefused("another_gateway", body.for_)
    if body.serial <= last_serial:
        raise ConfigRefused("old_serial", f"{body.serial}, applied {last_serial}")
    return body


def _to_base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _from_base64url(text: str) -> bytes:
    # The decoder of the standard library skips foreign characters; a signature must not allow that.
    if not _BASE64URL.fullmatch(text):
        raise ConfigRefused("bad_encoding", "not base64url without padding")
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as error:
        raise ConfigRefused("bad_encoding", str(error)) from error
