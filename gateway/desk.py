"""What goes between the gateway and whoever enrols a device: JSON objects, one a line.

The desk asks once (``ask``), the gateway tells (``event``), the desk answers (``answer``). The same
lines go through the running gateway's socket and, where no gateway runs, through a pair of sockets
in one process; ``hemma gateway pair --json`` shows them as they are.
"""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

import msgspec
import structlog

from devices.profiles.profile import Bonding
from gateway.ble.nearby import Found
from gateway.ble.pairing import Choice, Enrolled, Step, Wish
from gateway.errors import GatewayError
from gateway.paired import PairedDevice

log = structlog.get_logger(__name__)
T = TypeVar("T")

LINE_MAX_BYTES = 8192
ANSWERS_WAITING_MAX = 4
PASSKEY_DIGITS = 6


class Ask(msgspec.Struct, frozen=True, tag_field="ask"):
    """What the desk begins with."""


class AskPair(Ask, frozen=True, tag="pair"):
    """Enrol a device; the fields are those of :class:`gateway.ble.pairing.Wish`."""

    address: str | None = None
    profile: str | None = None
    again: bool = False
    everything: bool = False

    @property
    def wish(self) -> Wish:
        """The same for the procedure."""
        return Wish(self.address, self.profile, self.again, self.everything)


class AskUnpair(Ask, frozen=True, tag="unpair"):
    """Listen to a device no more."""

    address: str


class Event(msgspec.Struct, frozen=True, tag_field="event"):
    """What the gateway tells."""


class Stepped(Event, frozen=True, tag="step"):
    """What is being done now."""

    step: Step


class Family(msgspec.Struct, frozen=True):
    """A profile that a device may belong to."""

    profile: str
    title: str
    pairing_mode: str


class FoundDevice(Event, frozen=True, tag="found"):
    """A device that can be chosen by its number or its address."""

    number: int
    address: str
    name: str
    signal_dbm: int
    paired: bool
    families: tuple[Family, ...]


class WantsChoice(Event, frozen=True, tag="choose"):
    """Answer with ``choose`` when the right device has been found."""


class WantsPasskey(Event, frozen=True, tag="type_passkey"):
    """Answer with ``passkey``: the six digits that the device shows."""


class ShowsPasskey(Event, frozen=True, tag="show_passkey"):
    """These six digits are to be typed on the device; no answer is waited for."""

    passkey: str


class WantsComparison(Event, frozen=True, tag="compare_passkey"):
    """Answer with ``same``: whether the device shows these six digits."""

    passkey: str


class WithoutPasskey(Event, frozen=True, tag="without_passkey"):
    """The device was paired without the passkey that its family is ``expected`` to show or want."""

    address: str
    expected: Bonding


class PairedNow(Event, frozen=True, tag="paired"):
    """The gateway listens to the device from now on."""

    address: str
    dev: str
    model: str
    manufacturer: str | None
    profile: str
    title: str
    bonded: bool
    secured: str


class UnpairedNow(Event, frozen=True, tag="unpaired"):
    """The gateway listens to the device no more."""

    address: str
    dev: str
    model: str


class Failed(Event, frozen=True, tag="failed"):
    """It ended without what was asked for."""

    code: str
    error: str
    remedy: str


class Answer(msgspec.Struct, frozen=True, tag_field="answer"):
    """What the desk says to a question."""


class Chosen(Answer, frozen=True, tag="choose"):
    """A device by its number or its address; ``profile`` where not the first suggestion."""

    number: int | None = None
    address: str | None = None
    profile: str | None = None


class Typed(Answer, frozen=True, tag="passkey"):
    """The six digits that the device shows."""

    passkey: str


class Compared(Answer, frozen=True, tag="same"):
    """Whether the device shows the same six digits."""

    same: bool


class GivenUp(Answer, frozen=True, tag="give_up"):
    """End it, at any time."""


Events = (
    Stepped
    | FoundDevice
    | WantsChoice
    | WantsPasskey
    | ShowsPasskey
    | WantsComparison
    | WithoutPasskey
    | PairedNow
    | UnpairedNow
    | Failed
)
Asks = AskPair | AskUnpair
Answers = Chosen | Typed | Compared | GivenUp

_encoder = msgspec.json.Encoder()
_asks: msgspec.json.Decoder[Asks] = msgspec.json.Decoder(Asks)
_answers: msgspec.json.Decoder[Answers] = msgspec.json.Decoder(Answers)
_events: msgspec.json.Decoder[Events] = msgspec.json.Decoder(Events)


def line_of(message: Ask | Event | Answer) -> bytes:
    """Return ``message`` as its line."""
    return _encoder.encode(message) + b"\n"


def ask_of(line: bytes) -> Asks:
    """Return what the desk asks; raises msgspec.DecodeError."""
    return _asks.decode(line)


def event_of(line: bytes) -> Events:
    """Return what the gateway tells; raises msgspec.DecodeError."""
    return _events.decode(line)


class Desk:
    """The person at the other end of a pair of streams, as the procedure sees them.

    Run :meth:`listen` beside the procedure and cancel the procedure when that ends: the person has
    given up or the desk is gone.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._answers: asyncio.Queue[Answer] = asyncio.Queue(ANSWERS_WAITING_MAX)
        self._addresses: dict[int, str] = {}

    async def listen(self) -> None:
        """Take answers until the desk gives up, goes away or says what is not understood.

        Raises msgspec.DecodeError for the last, ValueError for a line that is too long.
        """
        while line := await self._reader.readline():
            answer = _answers.decode(line)
            if isinstance(answer, GivenUp):
                return
            # One who answers faster than is asked answers what nobody asked.
            if not self._answers.full():
                self._answers.put_nowait(answer)

    def tell(self, event: Event) -> None:
        """Send an event; there are so few that none waits for the desk to read it."""
        self._writer.write(line_of(event))

    def step(self, step: Step) -> None:
        """Tell what is being done now."""
        self.tell(Stepped(step))

    def found(self, found: Found) -> None:
        """Show a device."""
        self._addresses[found.number] = found.address
        families = tuple(
            Family(each.name, each.title, each.pairing_mode) for each in found.profiles
        )
        self.tell(
            FoundDevice(
                found.number, found.address, found.name, found.signal_dbm, found.is_paired, families
            )
        )

    async def choose(self) -> Choice | None:
        """Return the choice, once it names a device that was shown."""
        self.tell(WantsChoice())
        while True:
            chosen = await self._answer(Chosen)
            address = chosen.address or self._addresses.get(chosen.number or 0)
            if address is not None:
                return Choice(address.upper(), chosen.profile)

    def without_passkey(self, address: str, expected: Bonding) -> None:
        """Tell that a passkey was to be expected and none was wanted."""
        self.tell(WithoutPasskey(address, expected))

    async def passkey(self) -> int | None:
        """Return the digits that the person types; None where they are not six."""
        self.tell(WantsPasskey())
        typed = (await self._answer(Typed)).passkey
        is_passkey = typed.isascii() and typed.isdecimal() and len(typed) == PASSKEY_DIGITS
        return int(typed) if is_passkey else None

    async def show(self, passkey: int) -> None:
        """Show the digits."""
        self.tell(ShowsPasskey(digits_of(passkey)))

    async def confirm(self, passkey: int) -> bool:
        """Return whether the person says that they are the same."""
        self.tell(WantsComparison(digits_of(passkey)))
        return (await self._answer(Compared)).same

    async def _answer(self, kind: type[T]) -> T:
        """Return the next answer of ``kind``; what was said before the question is none."""
        while not self._answers.empty():
            self._answers.get_nowait()
        while True:
            answer: Any = await self._answers.get()
            if isinstance(answer, kind):
                return answer
            log.info("desk_answer_unasked", wanted=kind.__name__, got=type(answer).__name__)


def digits_of(passkey: int) -> str:
    """Return a passkey as it is shown: six digits, with zeros in front."""
    return f"{passkey:0{PASSKEY_DIGITS}d}"


def paired_now(enrolled: Enrolled) -> PairedNow:
    """Return the event of a device that was enrolled."""
    device, profile = enrolled.device, enrolled.profile
    return PairedNow(
        address=device.address,
        dev=device.dev,
        model=device.model,
        manufacturer=enrolled.manufacturer,
        profile=profile.name,
        title=profile.title or profile.name,
        bonded=enrolled.is_bonded,
        secured=enrolled.how.value,
    )


def unpaired_now(device: PairedDevice) -> UnpairedNow:
    """Return the event of a device that was taken out."""
    return UnpairedNow(device.address, device.dev, device.model)


def failed(error: GatewayError, code: str = "failed") -> Failed:
    """Return the event of an error, which says its reason and remedy."""
    return Failed(code, error.reason, error.remedy)
