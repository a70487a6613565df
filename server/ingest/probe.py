"""Does this broker deliver shared subscriptions, or grant them and stay silent (measured)?"""

from __future__ import annotations

import asyncio
import secrets

from server.broker import BrokerClient
from server.settings import SERVER_USER, Settings

PROBE_TIMEOUT_S = 5.0
PROBE_TRIES = 3
# The server may write here by the pattern that lets a gateway write under its own name; nobody
# acts on it.
TOPIC = f"hemma/v1/{SERVER_USER}/log"


async def shared_subscriptions_deliver(settings: Settings) -> bool:
    """Send one message through a shared subscription of our own; return whether it came.

    Waits for the broker as long as it takes, then :data:`PROBE_TRIES` times
    :data:`PROBE_TIMEOUT_S`.
    """
    token = secrets.token_hex(8)
    subscription = f"$share/hemma-probe-{token}/{TOPIC}"
    async with BrokerClient(
        settings, role="probe", subscriptions=[subscription], receive_maximum=10
    ) as broker:
        for _ in range(PROBE_TRIES):
            await broker.ready()
            broker.publish(TOPIC, token.encode())
            try:
                async with asyncio.timeout(PROBE_TIMEOUT_S):
                    while (await broker.take(1))[0].payload != token.encode():
                        pass
            except TimeoutError:
                continue
            return True
    return False
