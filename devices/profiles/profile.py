"""What a profile is: the facts about a device family that decide how the gateway talks with it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Profile:
    """How to talk with one family of devices: data for :mod:`devices.conversation`.

    Characteristics are 16-bit UUIDs as four upper-case hex digits. ``measurements`` are subscribed
    to, in this order, and must exist. ``clock`` is read and then corrected before that, where the
    device has it. ``reads`` are read once a link and kept. ``must_bond`` says that nothing works on
    an unencrypted link. ``quiet_s`` without a value ends the link, ``link_max_s`` ends it in any
    case. ``tried_on`` lists real hardware with firmware; ``source`` says where the facts are from.
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

    def __post_init__(self) -> None:
        """Check that the outer bound contains the inner one and that something is listened to."""
        assert 0 < self.quiet_s <= self.link_max_s, "quiet_s lies within link_max_s"
        assert self.measurements, "a profile listens to something"
