"""The guest's adapter: a controller on the air, and its wire into the guest.

A real adapter that is pulled out falls silent. A virtual one that only lost its host would go on
reporting what it hears: into a serial line that nobody reads, whose echo, before ``btattach`` takes
the line over, sends those reports back. The controller then takes them for the beginning of a
command, and waits for its end while the kernel waits for an answer to its first one.
"""

from __future__ import annotations

from dataclasses import dataclass

from bumble.controller import Controller

from devices.virtual.place import Place
from tests.ble.appliance.guest import Guest


@dataclass(slots=True)
class Adapter:
    """What a hand does to the adapter of ``guest``; it is out at first. Its address stays."""

    place: Place
    guest: Guest
    _address: str | None = None
    _controller: Controller | None = None

    async def put_in(self) -> None:
        """Put it in; one that is in already is fine. Raises GuestFailed."""
        if self._controller is None:
            self._controller = await self.place.attach(self.guest.hci, address=self._address)
            self._address = self._controller.public_address.to_string(with_type_qualifier=False)
        await self.guest.command("btattach start")

    async def pull_out(self) -> None:
        """Pull it out, links, scan and all; one that is out is fine. Raises GuestFailed."""
        await self.fall_silent()
        await self.guest.command("btattach stop")

    async def fall_silent(self) -> None:
        """Take it off the air, whatever the guest does, if it still does anything."""
        controller, self._controller = self._controller, None
        if controller is not None:
            await self.place.detach(controller)
