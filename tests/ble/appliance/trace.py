"""Why a value may be lost after bluetoothd was started anew (F2), as btmon saw it.

A bonded cuff that sends at once, a gateway on its BlueZ, a restart of bluetoothd, one measurement;
btmon in the guest writes down what went over the air.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from devices.virtual.designs import DESIGNS
from devices.virtual.faults import Faults
from devices.virtual.place import Place
from tests.ble.appliance.adapter import Adapter
from tests.ble.appliance.guest import Guest
from tests.ble.appliance.images import Image
from tests.ble.bluez import Bluez, until
from tests.ble.home import Home, measured
from tests.ble.operator import paired

BTMON_ON: Final = (
    "run /usr/bin/btmon --columns 200 >/run/packets 2>&1 </dev/null & echo $! >/run/btmon.pid"
)
DEBUG_ON: Final = "run BLUETOOTHD_OPTIONS=--debug"
HEADER: Final = re.compile(
    r"(?:\S+: )?(?P<mark>[<>=]) (?P<what>.*?)\s+(?:#\d+ )?(?:\[hci0\] )?(?P<at_s>\d+\.\d+)"
)
TYPE: Final = re.compile(r"(?:Attribute type|Handle: \S+ Type): (?P<type>.*)")
WHO: Final = {"<": "bluetoothd", ">": "cuff", "=": "(bluetoothd's log)"}
FIRST: Final = "LE Connection Complete"
SHOWN: Final = (FIRST, "HCI Event: Encryption Change", "ATT: ")
LAST: Final = "Exporting objects"


async def trace(image: Image) -> Iterator[str]:
    """Return the lines of the trace: seconds since the link was up, who sent, what it was."""
    with tempfile.TemporaryDirectory(prefix="hemma-ble-", dir="/tmp") as name:
        folder = Path(name)
        async with Place(seed=1) as place, Guest.boot(image, folder) as guest:
            os.environ.update(guest.environment)
            adapter, bluez = Adapter(place, guest), Bluez()
            await adapter.put_in()
            await bluez.open()
            await until(bluez.is_powered, "the adapter is on")
            said = await _lose(guest, place, Home(folder / "gateway", bluez), bluez)
            await bluez.close()
            await adapter.fall_silent()
    return lines(said)


async def _lose(guest: Guest, place: Place, home: Home, bluez: Bluez) -> str:
    # It stays until BlueZ is ready, which it need not, so that the trace has an end.
    cuff = await place.add(replace(DESIGNS["cuff"], hang_up_after_s=4.0))
    await home.start()
    await paired(home.data, cuff)
    await measured(cuff)
    await home.until_readings(cuff, 1)
    cuff.faults = Faults(remembers_subscription=True)
    await guest.command(DEBUG_ON)
    await guest.command("bluetoothd restart")
    await until(bluez.is_powered, "the adapter is on again")
    await until(bluez.is_discovering, "the gateway listens again")
    await guest.command(BTMON_ON)
    await measured(cuff)
    await until(partial(home.logged, "value_may_be_lost"), "the gateway says what may be lost")
    await guest.command("btmon off")
    said = await guest.command("run cat /run/packets")
    await home.stop()
    return said


def lines(said: str) -> Iterator[str]:
    """Shorten what btmon said: a line a packet, from the link to when BlueZ has its objects."""
    header: re.Match[str] | None = None
    began_s: float | None = None
    told = ""
    for line in said.splitlines():
        if found := HEADER.fullmatch(line):
            header = found
        what = found["what"] if found else line.strip()
        if header is None or (began_s is None and FIRST not in what):
            continue
        at_s = float(header["at_s"])
        began_s = at_s if began_s is None else began_s
        if of := TYPE.match(what):
            told, header = f"{told}: {of['type']}", None
        elif LAST in what or any(shown in what for shown in SHOWN):
            if told:
                yield told
            told = f"{at_s - began_s:6.3f} s  {WHO[header['mark']]}: {_short(what)}"
        if LAST in what:
            yield told
            return


def _short(what: str) -> str:
    return re.sub(r"^(ATT|HCI Event): | \(0x.*$|: [0-9A-F:]{17}$", "", what)
