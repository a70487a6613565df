"""Making a link: within a cuff's window, and with a class for each way it can fail.

bleak-retry-connector tells BlueZ's passing errors from lasting ones and waits accordingly. Two of
its offers are left alone: its clearing of the GATT cache calls ``Adapter1.RemoveDevice``, which
forgets the bond with the cache; and its services cache skips waiting until BlueZ has searched them
through.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from bleak import BleakClient
from bleak.backends.device import BLEDevice
from bleak.exc import BleakError
from bleak_retry_connector import (
    BleakAbortedError,
    BleakNotFoundError,
    BleakOutOfConnectionSlotsError,
    establish_connection,
)

from gateway.ble.bus import BusAway
from gateway.ble.radio import Radio
from gateway.paired import PairedDevice

T = TypeVar("T")

BOND_REFUSED_TEXTS = ("br-connection-canceled", "AuthenticationFailed", "AuthenticationRejected")
"""BlueZ's answers to a link whose encryption the device refused. They may have other causes, so one
alone says nothing."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long each thing may take, in seconds.

    ``connect_s`` is short of a cuff's advertising window, so that others get their turn; ``pair_s``
    leaves a person time to act on the device.
    """

    connect_s: float = 10.0
    pair_s: float = 20.0
    step_s: float = 8.0
    hang_up_s: float = 5.0
    tick_s: float = 1.0

    def __post_init__(self) -> None:
        """Check that every limit limits something."""
        every = (self.connect_s, self.pair_s, self.step_s, self.hang_up_s, self.tick_s)
        assert all(limit > 0 for limit in every), "limits are positive"


class LinkFlaps(BleakError):
    """The device lets itself be linked, and the link is gone at once, again and again."""


class NoLink(StrEnum):
    """Why a link did not come about."""

    OUT_OF_REACH = "out_of_reach"
    ABORTED = "aborted"
    NO_SLOT = "no_slot"
    BOND_REFUSED = "bond_refused"
    STACK_AWAY = "stack_away"
    FAILED = "failed"


async def connect(
    device: BLEDevice,
    paired: PairedDevice,
    radio: Radio,
    limits: Limits,
    on_gone: Callable[[], None],
    *,
    flaps: asyncio.Event | None = None,
) -> BleakClient:
    """Link up; ``on_gone`` is called when the link ends. Raises one of LINK_ERRORS.

    When ``flaps`` is set the attempt ends at once. BlueZ itself would go on without a word: six
    links a second for as long as it is asked to, each refused by a device that forgot its bond.
    """
    linking = establish_connection(
        BleakClient,
        device,
        paired.dev,
        disconnected_callback=lambda _client: on_gone(),
        max_attempts=2,
        use_services_cache=False,
        backend=radio.client_backend,
    )
    # The library's own time-out per try (20 s) is longer than a cuff waits: ours stands around it.
    async with asyncio.timeout(limits.connect_s):
        return await (linking if flaps is None else _unless(linking, flaps))


async def _unless(linking: Coroutine[None, None, T], flaps: asyncio.Event) -> T:
    """Return what ``linking`` comes to; raises LinkFlaps as soon as ``flaps`` is set."""
    working, flapping = asyncio.ensure_future(linking), asyncio.ensure_future(flaps.wait())
    try:
        await asyncio.wait({working, flapping}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise LinkFlaps("The link is lost as soon as it is made.")
        return working.result()
    finally:
        flapping.cancel()
        working.cancel()
        await asyncio.wait({working})


def why_no_link(error: BaseException) -> NoLink:
    """Return the class of what :func:`connect` raised."""
    text = str(error)
    if isinstance(error, LinkFlaps) or any(refused in text for refused in BOND_REFUSED_TEXTS):
        return NoLink.BOND_REFUSED
    match error:
        case BusAway() | EOFError() | ConnectionError():
            return NoLink.STACK_AWAY
        case BleakOutOfConnectionSlotsError():
            return NoLink.NO_SLOT
        case BleakNotFoundError() | TimeoutError():
            return NoLink.OUT_OF_REACH
        case BleakAbortedError():
            return NoLink.ABORTED
        case _:
            return NoLink.FAILED
