"""What the server asks of a gateway and tells it to be: requests and signed configurations."""

from __future__ import annotations

from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from devices import wire
from devices.wire import ConfigBody, Request
from server.broker import BrokerClient


def resend_request(*, id: str, since: datetime, expires: datetime) -> Request:  # noqa: A002
    """Make the request for all stored rows since a time: after a restore from backup.

    A gateway that knows ``id`` does nothing again.
    """
    return Request(
        v=wire.VERSION,
        id=id,
        kind=None,
        ask="resend",
        text={"sv": "", "en": "", "fi": ""},
        since=since,
        expires=expires,
    )


async def send_request(broker: BrokerClient, gateway: str, request: Request) -> bool:
    """Send a request; return whether the gateway was there to take it."""
    return await broker.deliver(wire.topic(gateway, "requests"), wire.encode(request))


async def send_config(
    broker: BrokerClient, body: ConfigBody, *, kid: str, key: Ed25519PrivateKey
) -> None:
    """Sign a configuration and leave it, retained, for the gateway that its body names."""
    config = wire.seal_config(body, kid=kid, sign=key.sign)
    await broker.deliver(wire.topic(body.for_, "config"), wire.encode(config), retain=True)
