"""``hemma gateway pair`` as a person sees it: what the gateway tells as text, and what is typed."""

from __future__ import annotations

import asyncio
import sys
import threading
from dataclasses import dataclass, field
from typing import Any, Protocol, TextIO

import typer

from devices.profiles import PROFILES
from gateway.ble.agent import How
from gateway.ble.pairing import Step
from gateway.desk import (
    PASSKEY_DIGITS,
    Answer,
    Chosen,
    Compared,
    Event,
    Failed,
    FoundDevice,
    GivenUp,
    PairedNow,
    ShowsPasskey,
    Stepped,
    Typed,
    UnpairedNow,
    WantsChoice,
    WantsComparison,
    WantsPasskey,
    WithoutPasskey,
    event_of,
    line_of,
)

LINES_WAITING_MAX = 16
NEAR_DBM = -60
FAR_DBM = -80
SECURED = {
    How.NOT_TOLD.value: "bonded",
    How.NO_PASSKEY.value: "bonded, without a passkey",
    How.PASSKEY_TYPED.value: "bonded, with the passkey that it showed",
    How.PASSKEY_SHOWN.value: "bonded, with the passkey that was typed on it",
    How.PASSKEY_COMPARED.value: "bonded, the same passkey on both sides",
}
STEPS = {
    Step.WAITING: "Waiting for the radio ...",
    Step.LOOKING: (
        "Looking for devices, for up to three minutes. Put yours in pairing mode now\n"
        "(`hemma gateway pair --families` says how)."
    ),
    Step.FORGETTING: "Forgetting the old bond; keep the device in pairing mode.",
    Step.CHECKING: "Looking whether it offers what is needed ...",
}
WITHOUT_PASSKEY = (
    "Devices of this family are paired with six digits, and this one wanted none: make sure that it"
    " is the right one (kontrollera att det är rätt apparat). If it is not:"
    " `hemma gateway unpair {address}`."
)


class Screen(Protocol):
    """What shows events and makes answers of what is typed."""

    is_over: bool
    exit_code: int

    def told(self, line: bytes) -> Answer | None:
        """Show what the gateway tells; returns an answer that needs nobody."""

    def typed(self, line: str | None) -> bytes | None:
        """Return the line to send for one that was typed; None is the end of the input."""


@dataclass
class JsonScreen:
    """For a program: the lines go through as they are."""

    is_over: bool = False
    exit_code: int = 0
    _is_asked: bool = False
    _has_ended: bool = False

    def told(self, line: bytes) -> Answer | None:
        """Print the line; gives up where a question comes and nobody is there to answer."""
        typer.echo(line.decode().rstrip("\n"))
        event = event_of(line)
        self.is_over = isinstance(event, PairedNow | UnpairedNow | Failed)
        self.exit_code = int(isinstance(event, Failed))
        if isinstance(event, WantsChoice | WantsPasskey | WantsComparison):
            self._is_asked = True
            return GivenUp() if self._has_ended else None
        return None

    def typed(self, line: str | None) -> bytes | None:
        """Send the line; the end of the input gives up where an answer is waited for."""
        if line is None:
            self._has_ended = True
            return line_of(GivenUp()) if self._is_asked else None
        self._is_asked = False
        return line.rstrip("\n").encode() + b"\n"


@dataclass
class TextScreen:
    """For a person: text, one question at a time. ``is_running`` says whether a gateway runs."""

    is_running: bool
    is_over: bool = False
    exit_code: int = 0
    _question: Event | None = None
    _devices: dict[int, FoundDevice] = field(default_factory=dict)
    _picked: FoundDevice | None = None
    _has_ended: bool = False

    def told(self, line: bytes) -> Answer | None:
        """Show the event; returns an answer where there is nobody to ask."""
        event = event_of(line)
        match event:
            case Stepped(step):
                self._step(step)
            case FoundDevice():
                self._found(event)
            case WantsChoice() | WantsPasskey() | WantsComparison():
                self._question, self._picked = event, None
                if self._has_ended:
                    return GivenUp()
                self._ask()
            case ShowsPasskey(passkey):
                typer.echo(f"Type these six digits on the device: {passkey}")
            case WithoutPasskey(address):
                typer.echo(WITHOUT_PASSKEY.format(address=address))
            case PairedNow():
                self._paired(event)
            case UnpairedNow():
                typer.echo(f"No longer listened to: {event.model}, {event.address}.")
                typer.echo("Its bond is removed. What it sent before is kept.")
                self.is_over = True
            case Failed():
                self._end_line()
                typer.echo(f"{event.error} {event.remedy}", err=True)
                self.is_over, self.exit_code = True, 1
        return None

    def typed(self, line: str | None) -> bytes | None:
        """Make an answer of a typed line, or ask again where it is none."""
        if line is None:
            self._has_ended = True
            return None if self._question is None else line_of(GivenUp())
        text = line.strip()
        if self._question is None:
            return None
        if text.lower() in ("q", "quit"):
            return line_of(GivenUp())
        answer = self._answer(self._question, text)
        if answer is None:
            self._ask()
            return None
        self._question = None
        return line_of(answer)

    def _answer(self, question: Event, text: str) -> Answer | None:
        match question:
            case WantsPasskey():
                digits = text.replace(" ", "")
                is_passkey = digits.isascii() and digits.isdecimal()
                return Typed(digits) if is_passkey and len(digits) == PASSKEY_DIGITS else None
            case WantsComparison():
                said = text.lower()[:1]
                return Compared(said == "y") if said in ("y", "n") else None
            case _ if self._picked is not None:
                return self._family(self._picked, text)
            case _:
                return self._device(text)

    def _device(self, text: str) -> Answer | None:
        device = self._devices.get(int(text)) if text.isascii() and text.isdecimal() else None
        if device is None:
            typer.echo(f"There is no {text!r} in the list.")
            return None
        if len(device.families) == 1:
            return Chosen(number=device.number)
        self._picked = device
        for number, family in enumerate(device.families, 1):
            typer.echo(f"  {number}  {family.title or family.profile}")
        return None

    def _family(self, device: FoundDevice, text: str) -> Answer | None:
        if not device.families:
            return Chosen(number=device.number, profile=text) if text in PROFILES else None
        number = text or "1"
        if not (number.isascii() and number.isdecimal()):
            return None
        if not 1 <= int(number) <= len(device.families):
            return None
        return Chosen(number=device.number, profile=device.families[int(number) - 1].profile)

    def _ask(self) -> None:
        match self._question:
            case WantsPasskey():
                question = "Type the six digits that the device shows: "
            case WantsComparison(passkey):
                question = f"Does the device show {passkey}? [y/n] "
            case _ if self._picked is None:
                question = "Number of the device (q gives up): "
            case _ if self._picked.families:
                question = "Which family is it? [1] "
            case _:
                question = "Its family (`hemma gateway pair --families` lists them): "
        typer.echo(question, nl=False)

    def _end_line(self) -> None:
        if self._question is not None:
            typer.echo()

    def _step(self, step: Step) -> None:
        self._end_line()
        self._question = None
        if step is Step.PAIRING:
            typer.echo("Pairing ...")
        else:
            typer.echo(STEPS[step])

    def _found(self, device: FoundDevice) -> None:
        self._devices[device.number] = device
        self._end_line()
        family = device.families[0].title or device.families[0].profile if device.families else "?"
        paired = "  (paired with this gateway already)" if device.paired else ""
        typer.echo(
            f"  {device.number}  {device.name or 'no name'}  {device.address}"
            f"  {device.signal_dbm} dBm, {_distance(device.signal_dbm)}  {family}{paired}"
        )
        if self._question is not None:
            self._ask()

    def _paired(self, event: PairedNow) -> None:
        maker = f"{event.manufacturer} " if event.manufacturer else ""
        secured = SECURED[event.secured] if event.bonded else "this device does not bond"
        typer.echo(f"Paired: {maker}{event.model} ({event.title}), {event.address}; {secured}.")
        if self.is_running:
            typer.echo("From now on the gateway listens to it and sends what it measures.")
        else:
            typer.echo("The gateway listens to it as soon as it runs: `hemma gateway run`.")
        typer.echo("Test it: take a measurement (ta en mätning) and see it with")
        typer.echo("`hemma gateway outbox`, within a minute.")
        self.is_over = True


def _distance(signal_dbm: int) -> str:
    if signal_dbm >= NEAR_DBM:
        return "near"
    return "in the room" if signal_dbm >= FAR_DBM else "far away"


async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, screen: Screen) -> int:
    """Go between the gateway and who types, until the gateway has told the end.

    Returns the exit code. Ctrl-C ends it by cancelling: the gateway notices that the desk is gone.
    """
    typed: asyncio.Queue[str | None] = asyncio.Queue(LINES_WAITING_MAX)
    loop = asyncio.get_running_loop()
    _read_in_background(sys.stdin, loop, typed)
    telling = asyncio.ensure_future(reader.readline())
    typing: asyncio.Future[str | None] = asyncio.ensure_future(typed.get())
    try:
        while not screen.is_over:
            either: set[asyncio.Future[Any]] = {telling, typing}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if telling.done():
                line = telling.result()
                if not line:
                    typer.echo("The gateway ended meanwhile. Start it and try again.", err=True)
                    return 1
                if (answer := screen.told(line)) is not None:
                    writer.write(line_of(answer))
                telling = asyncio.ensure_future(reader.readline())
            if typing.done():
                written = typing.result()
                if (out := screen.typed(written)) is not None:
                    writer.write(out)
                # After the end of the input there is nothing more to wait for.
                is_ended = written is None
                typing = loop.create_future() if is_ended else asyncio.ensure_future(typed.get())
    finally:
        telling.cancel()
        typing.cancel()
    return screen.exit_code


def _read_in_background(
    source: TextIO, loop: asyncio.AbstractEventLoop, lines: asyncio.Queue[str | None]
) -> None:
    """Read ``source`` in a thread that nobody waits for: a terminal may never end."""

    def put(line: str | None) -> None:
        if not lines.full():
            lines.put_nowait(line)

    def read() -> None:
        try:
            for line in source:
                loop.call_soon_threadsafe(put, line)
            loop.call_soon_threadsafe(put, None)
        except (ValueError, RuntimeError):
            # The loop or the input was closed: everything is over.
            return

    threading.Thread(target=read, name="typing", daemon=True).start()
