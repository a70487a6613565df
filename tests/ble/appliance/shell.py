"""A guest for a person to try things on: one command a line, virtual devices on its air."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from devices.virtual.device import VirtualDevice
from devices.virtual.place import Place
from tests.ble.appliance.adapter import Adapter
from tests.ble.appliance.guest import Guest, GuestFailed
from tests.ble.appliance.images import Image

PRESSURE = {"systolic": 128, "diastolic": 79, "pulse": 66}
VALUES = PRESSURE | {"weight": 71.4, "temperature": 36.9, "spo2": 97}
HELP = """\
  measure                                      each device takes a measurement and advertises
  bluetoothd start|stop|kill|restart           adapter in|out (put in, pulled out)
  btmon on|off (see the trace below)           run SHELL COMMAND, for example: run bluetoothctl show
  log | dmesg                                  quit"""


async def shell(image: Image, designs: Sequence[str]) -> None:
    """Boot, say how the guest is reached, and obey until ``quit`` or the end of the input."""
    with tempfile.TemporaryDirectory(prefix="hemma-ble-", dir="/tmp") as folder:
        async with Place(seed=1) as place, Guest.boot(image, Path(folder)) as guest:
            adapter = Adapter(place, guest)
            await adapter.put_in()
            devices = [await place.add(design) for design in designs]
            _say(f"BlueZ {image.bluez}, Linux {image.linux}, up in {guest.booted_s:.1f} s")
            for device in devices:
                _say(f"  {device.model}  {device.address}  profile {device.profile}")
            _say("In another terminal:")
            for name, value in guest.environment.items():
                _say(f"  export {name}={value}")
            _say(f"Trace: {guest.trace}\n{HELP}")
            await _obey(guest, adapter, devices)
            await adapter.fall_silent()


async def _obey(guest: Guest, adapter: Adapter, devices: Sequence[VirtualDevice]) -> None:
    async with asyncio.TaskGroup() as group:
        while words := (await asyncio.to_thread(sys.stdin.readline)).strip():
            if words == "quit":
                break
            if words == "measure":
                for device in devices:
                    group.create_task(_measure(device))
                continue
            try:
                if words in ("adapter in", "adapter out"):
                    await (adapter.put_in() if words == "adapter in" else adapter.pull_out())
                else:
                    _say(await guest.command(words))
            except GuestFailed as error:
                _say(str(error))


async def _measure(device: VirtualDevice) -> None:
    report = await device.measure(VALUES)
    _say(f"{device.model}: {'delivered' if report.delivered else 'kept'}, {report.attempts} links")


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a command
