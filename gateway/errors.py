"""What can go wrong in the gateway: whose fault it is, and what may be done."""

from __future__ import annotations


class GatewayError(Exception):
    """Root of the gateway's errors. ``remedy`` says what a person may do about it."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason} {remedy}")
        self.reason = reason
        self.remedy = remedy


class SettingsInvalid(GatewayError):
    """The operator's: a setting is missing or cannot be used."""


class StorageUnusable(GatewayError):
    """The world's: the outbox file is corrupt, locked, read-only or of another version."""


class StorageFull(GatewayError):
    """The world's: the quota or the disk is full. Nothing that was kept has been dropped."""


class DeviceRefused(GatewayError):
    """The operator's: a device cannot be paired as asked."""


class LinkRefused(GatewayError):
    """The broker's: it answered and refused this gateway (password, name, topic)."""


class LinkLost(GatewayError):
    """The world's: the broker is away or the connection broke. Worth another try later."""


class SessionTakenOver(GatewayError):
    """The operator's: a second client of the same name has connected, as a cloned card would."""
