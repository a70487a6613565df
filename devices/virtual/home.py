"""An invented home: a gateway radio and four devices on one in-process link.

``async with VirtualHome(seed=1) as home`` gives ``home.scanner_backend`` and
``home.client_backend`` for bleak's ``backend=`` and ``home.devices`` by what they are. Addresses
and clock errors come from the seed.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, tzinfo
from types import TracebackType

from bleak.backends.client import BaseBleakClient
from bleak.backends.scanner import BaseBleakScanner
from bumble.device import Connection
from bumble.pairing import PairingConfig, PairingDelegate

from devices.virtual.air import Air
from devices.virtual.backend import Central, backends
from devices.virtual.device import VirtualDevice
from devices.virtual.link import controller_device
from devices.virtual.place import Place

AT_HOME = ("cuff", "scale", "thermometer", "oximeter")
"""What the home has when nobody says otherwise, in the order of its addresses."""

PASSKEY_WAIT_S = 3.0


def addresses(seed: int) -> tuple[str, ...]:
    """Five random static addresses for ``seed``: the gateway's radio, then the devices.

    ``AA:BB:CC:DD:EE:FF`` in upper case; the two highest bits are set, as such an address has them.
    """
    rng = random.Random(f"hemma-address-{seed}")
    return tuple(
        ":".join(f"{byte:02X}" for byte in (rng.randrange(0xC0, 0x100), *rng.randbytes(4), n + 1))
        for n in range(1 + len(AT_HOME))
    )


class VirtualHome:
    """The home. Enter it inside a running event loop; nothing of it is left when it is left.

    ``place`` is where the devices are and takes more of them. ``utc`` and ``mono_s`` are the home's
    true clocks; ``window_s`` replaces the designs' advertising windows where a test has no time.
    ``operator`` is asked for the digits that a device shows, by the device's address; None gives
    the pairing up. Who is asked when nobody says otherwise reads them off the device.
    """

    scanner_backend: type[BaseBleakScanner]
    client_backend: type[BaseBleakClient]
    devices: Mapping[str, VirtualDevice]

    def __init__(
        self,
        seed: int = 1,
        *,
        utc: Callable[[], datetime] = lambda: datetime.now(UTC),
        mono_s: Callable[[], float] = time.monotonic,
        zone: tzinfo | None = None,
        window_s: float | None = None,
    ) -> None:
        self.place = Place(seed, utc=utc, mono_s=mono_s, zone=zone, window_s=window_s)
        self.operator: Callable[[str], Awaitable[int | None]] = self._read_off

    @property
    def link(self) -> Air:
        """What gateway and devices hear each other on."""
        return self.place.link

    async def __aenter__(self) -> VirtualHome:
        await self.place.__aenter__()
        names = addresses(self.place.seed)
        controller, radio = controller_device(self.link, name="gateway", address=names[0])
        radio.pairing_config_factory = self._pairing
        await radio.power_on()
        self.central = Central(radio, controller)
        self.scanner_backend, self.client_backend = backends(self.central)
        self.devices = {
            name: await self.place.add(name, address=address)
            for name, address in zip(AT_HOME, names[1:], strict=True)
        }
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.place.__aexit__(kind, error, trace)
        await self.central.device.power_off()

    def _pairing(self, connection: Connection) -> PairingConfig:
        address = str(connection.peer_address).removesuffix("/P")
        return PairingConfig(
            sc=True, mitm=False, bonding=True, delegate=_Keyboard(lambda: self.operator(address))
        )

    async def _read_off(self, address: str) -> int | None:
        """Wait until the device shows its digits, and return them."""
        devices = {device.address: device for device in self.place.devices}
        async with asyncio.timeout(PASSKEY_WAIT_S):
            while (shown := devices[address].shown_passkey) is None:  # noqa: ASYNC110 - a display
                await asyncio.sleep(0.01)
        return shown


class _Keyboard(PairingDelegate):
    """The gateway's side: it has keys and a screen, as a phone or a laptop beside it has."""

    def __init__(self, asked: Callable[[], Awaitable[int | None]]) -> None:
        super().__init__(io_capability=PairingDelegate.DISPLAY_OUTPUT_AND_KEYBOARD_INPUT)
        self._asked = asked

    async def get_number(self) -> int | None:
        """The digits that the operator types, None to give up."""
        return await self._asked()
