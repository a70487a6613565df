"""Virtual devices for training and tinkering: ``python -m devices.virtual``.

``list`` tells the kinds of device and the faults there are. ``run`` brings devices and puts a
controller on their air for the host at the other end of an HCI transport, such as the kernel of a
guest, or this machine's through ``vhci``:

    python -m devices.virtual run --transport unix:/tmp/hci --device cuff \\
        --device glucose_meter:remembers_subscription,battery_percent=9 --person DEMO-05

Commands come as JSON lines on standard input, and what became of them goes as JSON lines to
standard output. The end of the input ends it, once what was asked for is done:

    {"do": "measure", "id": 7, "device": "cuff", "values": {"systolic": 128, "diastolic": 81}}
    {"do": "measure", "id": 8, "device": "cuff"}            (what the person would measure now)
    {"do": "store", "device": "cuff", "values": {"systolic": 131, "diastolic": 80}}
    {"do": "wake", "device": "cuff"}
    {"do": "faults", "device": "cuff", "faults": {"nan_values": true}}     ({}: none)
    {"do": "pairing_mode", "device": "cuff", "on": true}
    {"do": "forget_bond", "device": "cuff"}
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from devices.virtual.designs import DESIGNS
from devices.virtual.device import VirtualDevice
from devices.virtual.faults import NO_FAULTS, Faults
from devices.virtual.living import values_at
from devices.virtual.people import PEOPLE, Person
from devices.virtual.place import Place

COMMAND_MAX_BYTES = 65_536
BY_KEY: Mapping[str, Person] = {person.key: person for person in PEOPLE}


class BadCommand(Exception):
    """What was asked makes no sense; the text says why."""


def tell(event: str, **fields: object) -> None:
    """Write one event on standard output; whoever started the process reads it at once."""
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


def listed() -> None:
    """Tell the kinds of device, the faults and the people."""
    for name, design in DESIGNS.items():
        tell("design", name=name, model=design.model, profile=design.profile, kinds=design.kinds)
    for name in Faults.__slots__:
        tell("fault", name=name, usual=_plain(getattr(NO_FAULTS, name)))
    for person in PEOPLE:
        tell(
            "person", name=person.key, story=person.story, devices=[o.what for o in person.devices]
        )


def faults_of(given: Mapping[str, Any]) -> Faults:
    """Return the faults that ``given`` names; raises :class:`BadCommand` for one there is not.

    ``clock_error`` is given in seconds.
    """
    unknown = set(given) - set(Faults.__slots__)
    if unknown:
        raise BadCommand(f"there is no fault called {', '.join(sorted(unknown))}")
    told = dict(given)
    if "clock_error" in told:
        told["clock_error"] = timedelta(seconds=float(told["clock_error"]))
    return Faults(**told)


def asked_for(word: str) -> tuple[str, Faults]:
    """Return kind and faults in ``kind:fault,fault=value``; raises :class:`BadCommand`."""
    what, _, rest = word.partition(":")
    if what not in DESIGNS:
        raise BadCommand(f"there is no device called {what}: {', '.join(DESIGNS)}")
    given: dict[str, Any] = {}
    for part in filter(None, rest.split(",")):
        name, _, value = part.partition("=")
        given[name] = json.loads(value) if value else True
    return what, faults_of(given)


class Training:
    """The devices of one run, by name, and who uses them."""

    def __init__(self, place: Place, person: Person, seed: int) -> None:
        self._place = place
        self._person = person
        self._seed = seed
        self._devices: dict[str, VirtualDevice] = {}

    async def bring(self, what: str, faults: Faults) -> None:
        """Bring a device; a second one of its kind is called ``cuff-2``."""
        count = 1 + sum(name.split("-")[0] == what for name in self._devices)
        name = what if count == 1 else f"{what}-{count}"
        device = self._devices[name] = await self._place.add(what, faults=faults)
        tell(
            "device",
            name=name,
            address=device.address,
            model=device.model,
            profile=device.profile,
            faults=device.faults.names(),
        )

    async def obey(self, command: Mapping[str, Any]) -> None:
        """Carry out one command; raises :class:`BadCommand`."""
        device = self._devices.get(str(command.get("device")))
        if device is None:
            raise BadCommand(f"no such device here: {', '.join(self._devices)}")
        match command.get("do"):
            case "measure":
                await self._measure(device, command)
            case "store":
                device.store(self._values(device, command))
            case "wake":
                tell("slept", device=command["device"], links=await device.wake())
            case "faults":
                device.faults = faults_of(command.get("faults", {}))
            case "pairing_mode":
                device.pairing_mode = bool(command.get("on", True))
            case "forget_bond":
                await device.forget_bond()
            case other:
                raise BadCommand(f"cannot do {other!r}")

    async def _measure(self, device: VirtualDevice, command: Mapping[str, Any]) -> None:
        report = await device.measure(self._values(device, command))
        tell(
            "measured",
            id=command.get("id"),
            dev=device.dev,
            delivered=report.delivered,
            confirmed_mono_s=report.confirmed_mono_s,
            links=report.attempts,
        )

    def _values(self, device: VirtualDevice, command: Mapping[str, Any]) -> Mapping[str, float]:
        if "values" in command:
            given: Mapping[str, float] = command["values"]
            return given
        what = str(command["device"]).split("-")[0]
        return values_at(self._person, what, device.clocks.utc(), self._seed)


async def show_passkeys(place: Place) -> None:
    """Tell the digits that a device shows, for whoever pairs it. Runs until cancelled."""
    shown: dict[str, int | None] = {}
    while True:
        for device in place.devices:
            passkey = device.shown_passkey
            if passkey != shown.get(device.address):
                shown[device.address] = passkey
                if passkey is not None:
                    tell("shows", dev=device.dev, passkey=f"{passkey:06}")
        await asyncio.sleep(0.1)


async def run(options: argparse.Namespace, commands: asyncio.StreamReader) -> None:
    """Hold the place open until the commands end; raises :class:`BadCommand` for a bad option."""
    person = BY_KEY.get(options.person)
    if person is None:
        raise BadCommand(f"there is nobody called {options.person}: {', '.join(BY_KEY)}")
    wanted = [asked_for(word) for word in options.device]
    async with Place(seed=options.seed) as place:
        training = Training(place, person, options.seed)
        for what, faults in wanted:
            await training.bring(what, faults)
        controller = await place.attach(options.transport)
        tell("ready", address=str(controller.public_address))
        async with asyncio.TaskGroup() as group:
            showing = group.create_task(show_passkeys(place), name="passkeys")
            doing = [
                group.create_task(obeyed(training, line), name="command") async for line in commands
            ]
            await asyncio.gather(*doing)
            showing.cancel()


async def obeyed(training: Training, line: bytes) -> None:
    """Carry out one line, or tell what is wrong with it."""
    try:
        await training.obey(dict(json.loads(line)))
    except (BadCommand, ValueError, TypeError, KeyError) as error:
        tell("refused", reason=f"{error}", line=line.decode(errors="replace").strip())


async def from_standard_input(options: argparse.Namespace) -> None:
    """Run with the commands on standard input."""
    reader = asyncio.StreamReader(limit=COMMAND_MAX_BYTES)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await run(options, reader)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(prog="python -m devices.virtual", description=__doc__)
    made.formatter_class = argparse.RawDescriptionHelpFormatter
    commands = made.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="tell the kinds of device, the faults and the people")
    running = commands.add_parser("run", help="bring devices and serve a host")
    running.add_argument(
        "--transport", required=True, help="unix:/path, vhci, tcp-client:host:port"
    )
    running.add_argument(
        "--device", action="append", required=True, help="kind, or kind:fault,fault=value"
    )
    running.add_argument("--person", default=PEOPLE[0].key, help="who measures")
    running.add_argument("--seed", type=int, default=1)
    return made


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = parser().parse_args(arguments)
    if options.command == "list":
        listed()
        return 0
    try:
        asyncio.run(from_standard_input(options))
    except (BadCommand, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def _plain(value: object) -> object:
    return value.total_seconds() if isinstance(value, timedelta) else value


if __name__ == "__main__":
    sys.exit(main())
