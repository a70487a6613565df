"""``hemma gateway run`` as a process of its own, with a real broker."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from devices.virtual.device import VirtualDevice
from devices.virtual.faults import Faults
from gateway.desk import AskPair, PairedNow
from hemma.broker import Broker
from tests.ble.bluez import Bluez, until
from tests.ble.home import Home, measured
from tests.ble.operator import Operator, in_pairing_mode

Add = Callable[..., Awaitable[VirtualDevice]]
STOP_TIMEOUT_S = 20.0


@asynccontextmanager
async def process(
    home: Home, broker: Broker, password_file: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The gateway as a service would run it; ended when the block is left."""
    environment = os.environ | {
        "HEMMA_GATEWAY_NAME": "gw-1",
        "HEMMA_GATEWAY_DATA": str(home.data),
        "HEMMA_MQTT_PORT": str(broker.port),
        "HEMMA_MQTT_PASSWORD_FILE": str(password_file),
    }
    home.data.mkdir(parents=True, exist_ok=True)
    with (home.data.parent / "gateway.log").open("ab") as log:
        running = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "hemma", "gateway", "run"),
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        await until(home.bluez.is_discovering, "the gateway's process listens")
        yield running
    finally:
        if running.returncode is None:
            running.send_signal(signal.SIGTERM)
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await running.wait()


def left_home(home: Home, device: VirtualDevice) -> bool:
    """Whether the broker has taken every row of the device."""
    states = home.states(device)
    return bool(states) and set(states) <= {"sent", "left_home", "stored"}


async def test_a_reading_reaches_the_broker(
    home: Home, add: Add, broker: Broker, gateway_password_file: Path
) -> None:
    """The process hears a thermometer; its reading is in the outbox and goes to the broker."""
    device = await add("thermometer")
    home.enrol(device)
    async with process(home, broker, gateway_password_file):
        assert (await measured(device)).delivered
        await home.until_readings(device, 1)
        await until(lambda: left_home(home, device), "the broker has it")


async def test_enrolled_through_the_process(
    home: Home, bluez: Bluez, add: Add, broker: Broker, gateway_password_file: Path
) -> None:
    """An operator enrols a cuff at the running process; its early value is kept."""
    cuff = await add("cuff")
    async with process(home, broker, gateway_password_file):
        async with in_pairing_mode(cuff):
            event = await Operator().ask(home.data, AskPair(cuff.address, cuff.profile))
        assert isinstance(event, PairedNow), event
        assert (await measured(cuff)).delivered
        cuff.faults = Faults(remembers_subscription=True)
        assert (await measured(cuff, systolic=141)).delivered
        await home.until_readings(cuff, 2)


async def test_killed_and_started_again(
    home: Home, bluez: Bluez, add: Add, broker: Broker, gateway_password_file: Path
) -> None:
    """F2: the process is killed (SIGKILL) and started again; a value sent at once is kept."""
    cuff = await add("cuff")
    async with process(home, broker, gateway_password_file) as first:
        async with in_pairing_mode(cuff):
            await Operator().ask(home.data, AskPair(cuff.address, cuff.profile))
        assert (await measured(cuff)).delivered
        await home.until_readings(cuff, 1)
        first.kill()
        await first.wait()
    cuff.faults = Faults(remembers_subscription=True)
    await until(lambda: is_quiet(bluez), "BlueZ has noticed that the process is gone")
    async with process(home, broker, gateway_password_file):
        assert (await measured(cuff, systolic=141)).delivered
        await home.until_readings(cuff, 2)


async def test_killed_in_the_middle_of_a_link(
    home: Home, bluez: Bluez, add: Add, broker: Broker, gateway_password_file: Path
) -> None:
    """The process is killed while a cuff delivers; what it was confirmed or kept arrives, once."""
    cuff = await add("cuff")
    async with process(home, broker, gateway_password_file) as first:
        async with in_pairing_mode(cuff):
            await Operator().ask(home.data, AskPair(cuff.address, cuff.profile))
        cuff.faults = Faults(slow_answers_s=0.1)
        measuring = asyncio.create_task(measured(cuff))
        await until(lambda: bluez.is_linked(cuff.address), "the link is up")
        first.kill()
        await first.wait()
        cuff.faults = Faults()
        await cuff.drop_link()
        await until(lambda: is_quiet(bluez), "BlueZ has noticed that the process is gone")
    async with process(home, broker, gateway_password_file):
        await measuring
        if not home.readings(cuff):
            await cuff.wake()
        readings = await home.until_readings(cuff, 1)
        assert len(readings) == 1


async def is_quiet(bluez: Bluez) -> bool:
    """Whether nobody scans."""
    return not await bluez.is_discovering()
