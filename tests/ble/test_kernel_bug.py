"""F5: Debian 12's kernel loses bluetoothd when a device has forgotten its bond.

What is tried is not the kernel, which is as it is (the gateway asks for 6.6 or later), but that the
gateway outlives it and says what is wrong. One guest of its own, since it is broken afterwards.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from devices.virtual.device import VirtualDevice
from tests.ble.appliance.guest import Guest, GuestFailed
from tests.ble.bluez import Bluez, until
from tests.ble.home import Home, measured
from tests.ble.operator import paired

Add = Callable[..., Awaitable[VirtualDevice]]
Note = Callable[[str, str], None]
OLD_KERNEL = "5.66-linux-6.1"
TRIES = 6


@pytest.mark.parametrize("guest", [OLD_KERNEL], indirect=True)
async def test_the_kernel_takes_bluetoothd_away(
    guest: Guest, bluez: Bluez, home: Home, add: Add, note: Note
) -> None:
    """F5: a cuff forgot its bond on kernel 6.1: the gateway lives, and says what it lacks."""
    cuff = await add("cuff")
    await home.start()
    await paired(home.data, cuff)
    assert (await measured(cuff)).delivered
    await home.until_readings(cuff, 1)
    await cuff.forget_bond()
    cuff.window_s = 10
    for _ in range(TRIES):
        await cuff.wake()
        if is_bluetoothd_gone := await has_gone(guest):
            break
    note("note", "bluetoothd was taken away" if is_bluetoothd_gone else "bluetoothd stayed")
    assert home.is_running, "whatever the kernel did, the gateway goes on"
    assert len(home.readings(cuff)) == 1
    assert not await cuff.is_bonded()
    if is_bluetoothd_gone:
        await until(lambda: home.radio_state() != "ok", "the gateway says that the radio is not ok")


async def has_gone(guest: Guest) -> bool:
    """Whether bluetoothd is gone, or the kernel said that it came to harm."""
    try:
        await guest.command("bluetoothd up")
    except GuestFailed:
        return True
    return "BUG" in guest.console()
