"""One invented home as a process: the real gateway, with virtual devices instead of a radio.

`python -m hemma.virtual_home` takes the gateway's settings from the environment, as `hemma gateway
run` does. Commands come as JSON lines on standard input, one measurement each:

    {"do": "measure", "id": 7, "device": "cuff", "values": {"systolic": 128, "diastolic": 81}}

What happens to it is told as JSON lines on standard output: `ready`, the gateway's own events
(`journaled`, `queued`, `puback`, `stored`, `seen`, `nacked`), and `indication` when the device has
been told that its value arrived, with the time of that on the clock that all processes share. The
log goes to standard error. The end of standard input ends the process.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Final

import structlog

from devices.virtual.device import VirtualDevice
from devices.virtual.home import VirtualHome
from gateway.ble.radio import Radio
from gateway.clock import ClockReading, SystemClock, boot_id
from gateway.main import run
from gateway.outbox import Outbox
from gateway.paired import PairedDevice, pair
from gateway.settings import Settings, from_environment

SEED_VARIABLE: Final = "HEMMA_DEMO_SEED"
COMMAND_MAX_BYTES: Final = 65_536


def tell(event: str, fields: Mapping[str, object]) -> None:
    """Write one event on standard output; whoever started the process reads it at once."""
    print(json.dumps({"event": event, **fields}), flush=True)


def pair_all(settings: Settings, home: VirtualHome) -> None:
    """Enrol the home's devices at its gateway, as `hemma gateway pair` does."""
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    outbox = Outbox(settings.database, boot_id(), quota_bytes=settings.quota_bytes)
    try:
        for device in home.devices.values():
            pair(outbox.connection, PairedDevice(device.address, device.model, device.profile))
    finally:
        outbox.close()


def machine_clock(clock: SystemClock) -> ClockReading:
    """Read the machine's clock, taken as right: no NTP runs in a container, and the home is here.

    A gateway in a real home asks the kernel, and does not set a device's clock by an unknown time.
    """
    reading = clock.read()
    return replace(reading, quality="estimated") if reading.quality == "none" else reading


async def measure(device: VirtualDevice, number: int, values: Mapping[str, float]) -> None:
    """Let a device measure, wait until its value is fetched, and tell how that went."""
    report = await device.measure(values)
    tell(
        "indication",
        {
            "id": number,
            "dev": device.dev,
            "delivered": report.delivered,
            "confirmed_mono_s": report.confirmed_mono_s,
        },
    )


async def obey(home: VirtualHome, stop: asyncio.Event) -> None:
    """Carry out the commands on standard input until it ends; each device one at a time."""
    reader = asyncio.StreamReader(limit=COMMAND_MAX_BYTES)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with asyncio.TaskGroup() as group:
        while line := await reader.readline():
            command = json.loads(line)
            device = home.devices[command["device"]]
            group.create_task(
                measure(device, command["id"], command["values"]), name=f"measure-{command['id']}"
            )
        stop.set()


async def live(settings: Settings, seed: int) -> None:
    """Run the home until standard input ends or the process is told to end."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with VirtualHome(seed=seed) as home:
        pair_all(settings, home)
        radio = Radio(home.scanner_backend, home.client_backend)
        async with asyncio.TaskGroup() as group:
            gateway = group.create_task(
                run(
                    settings,
                    radio=radio,
                    stop=stop,
                    on_event=tell,
                    clock=partial(machine_clock, SystemClock()),
                ),
                name="gateway",
            )
            obeying = group.create_task(obey(home, stop), name="commands")
            devices = {name: device.dev for name, device in home.devices.items()}
            tell("ready", {"gateway": settings.name, "devices": devices})
            await gateway
            obeying.cancel()


def main() -> None:
    """Run the process; the log is JSON lines on standard error."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    settings = from_environment(os.environ)
    asyncio.run(live(settings, int(os.environ.get(SEED_VARIABLE, "1"))))


if __name__ == "__main__":
    main()
