"""A device's attributes as it told them: which handle is which characteristic of which service."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

DECLARATION, SUBSCRIPTION = "2803", "2902"
SENDS = frozenset({"notify", "indicate"})
_PROPERTIES = (
    "broadcast",
    "read",
    "write-without-response",
    "write",
    "notify",
    "indicate",
    "signed-write",
    "extended",
)


@dataclass(frozen=True, slots=True)
class Characteristic:
    """One characteristic: where its value is, what it is, what may be done with it."""

    handle: int
    uuid: str
    properties: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Service:
    """One service, its first and its last handle."""

    first: int
    last: int
    uuid: str


@dataclass(slots=True)
class GattTable:
    """What has been found out so far; later words about a handle replace earlier ones."""

    services: dict[int, Service] = field(default_factory=dict)
    characteristics: dict[int, Characteristic] = field(default_factory=dict)
    descriptors: dict[int, str] = field(default_factory=dict)

    def note_services(self, found: Iterable[tuple[int, int, str]]) -> None:
        """Take what a search for services gave."""
        self.services |= {first: Service(first, last, uuid) for first, last, uuid in found}

    def note_declaration(self, properties: int, handle: int, uuid: str) -> None:
        """Take the declaration of one characteristic."""
        can = tuple(name for bit, name in enumerate(_PROPERTIES) if properties >> bit & 1)
        self.characteristics[handle] = Characteristic(handle, uuid, can)

    def note_descriptors(self, found: Iterable[tuple[int, str]]) -> None:
        """Take what a search for descriptors gave."""
        self.descriptors |= dict(found)

    def at(self, handle: int) -> Characteristic | None:
        """Return the characteristic whose value is at ``handle``, None where there is none."""
        return self.characteristics.get(handle)

    def described_by(self, handle: int) -> Characteristic | None:
        """Return the characteristic that the descriptor at ``handle`` belongs to."""
        before = [value for value in self.characteristics if value < handle]
        return self.characteristics[max(before)] if before else None

    def is_subscription(self, handle: int) -> bool:
        """Tell whether what is written at ``handle`` subscribes to a characteristic.

        A host that knows where it must be does not always ask what the descriptor is.
        """
        if handle in self.descriptors:
            return self.descriptors[handle] == SUBSCRIPTION
        described = None if handle in self.characteristics else self.described_by(handle)
        return described is not None and not SENDS.isdisjoint(described.properties)

    def of_service(self, service: Service) -> list[Characteristic]:
        """Return the characteristics in ``service``, in their order."""
        every = self.characteristics.values()
        found = [one for one in every if service.first <= one.handle <= service.last]
        return sorted(found, key=lambda one: one.handle)

    def listed(self) -> list[tuple[Service, list[Characteristic]]]:
        """Return the services in their order, each with its characteristics."""
        services = [self.services[first] for first in sorted(self.services)]
        return [(service, self.of_service(service)) for service in services]
