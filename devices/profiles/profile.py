"""What a profile is: the facts about a device family that decide how the gateway talks with it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Bonding(StrEnum):
    """What a person has to do with a passkey when the device is paired."""

    JUST_WORKS = "just_works"
    PASSKEY_SHOWN = "passkey_shown"
    """The device shows six digits; the operator types them at the gateway."""
    PASSKEY_TYPED = "passkey_typed"
    """The gateway shows six digits; the operator types them on the device."""


@dataclass(frozen=True, slots=True)
class Records:
    """How stored records are asked for at a Record Access Control Point.

    ``control_point`` is 2A52 and ``record`` the characteristic that carries the records (2A18,
    2AA7). ``is_numbered_by_time`` where the number is a time offset in minutes (CGM), not a
    sequence number. ``can_filter`` is False for a device that only knows "all records".
    """

    record: str
    control_point: str = "2A52"
    is_numbered_by_time: bool = False
    can_filter: bool = True


@dataclass(frozen=True, slots=True)
class Profile:
    """How to talk with one family of devices: data for :mod:`devices.conversation`.

    Characteristics are 16-bit UUIDs as four upper-case hex digits, a maker's own as 36 lower-case
    ones. ``measurements`` are subscribed to, in this order, and must exist; ``optional`` are
    subscribed to where they exist. ``clock`` (2A08 or 2A2B) is read and then corrected before that,
    where the device has it. ``reads`` are read once a link and kept, when nothing that values come
    by is open (:mod:`devices.conversation.order`). ``must_bond`` says that nothing works on an
    unencrypted link. ``records`` is set where stored records must be asked for. ``has_users`` where
    the device keeps its users apart and says whose value it is. ``quiet_s`` without a value ends
    the link; ``quiet_after_s``, where given, once one came: a device that waits for a finger may
    take minutes, one that has spoken is done. ``link_max_s`` ends it in any case. ``vendor`` names
    the maker's own protocol (:mod:`devices.vendor`) where the family speaks one.

    ``title`` is the family's name as a person reads it; ``names`` are beginnings of the name that
    it advertises and ``services`` the service UUIDs: by these the pairing suggests a profile;
    ``pairing_mode`` says in Swedish what to do on the device so that it can be paired.
    ``tried_on`` lists real hardware with firmware; ``source`` says where the facts are from.
    """

    name: str
    measurements: tuple[str, ...]
    clock: str | None
    reads: tuple[str, ...]
    must_bond: bool
    quiet_s: float
    link_max_s: float
    source: str
    tried_on: tuple[str, ...] = ()
    quiet_after_s: float | None = None
    optional: tuple[str, ...] = ()
    records: Records | None = None
    has_users: bool = False
    bonding: Bonding = Bonding.JUST_WORKS
    vendor: str | None = None
    title: str = ""
    names: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    pairing_mode: str = ""

    def __post_init__(self) -> None:
        """Check that the outer bound contains the inner one and that something is listened to."""
        assert 0 < self.quiet_s <= self.link_max_s, "quiet_s lies within link_max_s"
        assert self.quiet_after_s is None or 0 < self.quiet_after_s <= self.quiet_s
        assert self.measurements, "a profile listens to something"
