"""What can be wrong with what a device, a gateway or a server sent.

All of it is the sender's data, never our bug and never the world being slow: the remedy is to keep
the bytes with the reason (quarantine), not to try again.
"""

from __future__ import annotations


class DevicesError(Exception):
    """Base of this package's errors. ``reason`` is a constant name, ``detail`` is for a person."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class DecodeError(DevicesError):
    """A characteristic value that cannot be read.

    Reasons: ``truncated``, ``trailing_bytes``, ``too_long``, ``bad_size``, ``bad_crc``,
    ``bad_text``, ``reserved_flags``, ``reserved_value``, ``invalid_time``, ``segmented``,
    ``unsupported_observation``, ``unsupported_unit``, ``unknown_model``,
    ``unknown_characteristic``, ``bad_uuid``.
    """


class WireError(DevicesError):
    """A message or item that cannot be read (contract.md 1).

    ``seq`` is the item's number where it could still be read, else None. ``retry`` is what the nack
    says: ``later`` where a newer server would understand, else ``never``.
    """

    def __init__(self, reason: str, detail: str = "", seq: int | None = None) -> None:
        super().__init__(reason, detail)
        self.seq = seq

    @property
    def retry(self) -> str:
        """Return the nack's word for whether the gateway should send this again."""
        return "later" if self.reason == "unsupported_version" else "never"


class ConfigRefused(DevicesError):
    """A configuration the gateway must not apply.

    Reasons: ``unsupported_version``, ``bad_encoding``, ``bad_signature``, ``bad_body``,
    ``another_gateway``, ``old_serial``.
    """


class TraceError(DevicesError):
    """A recording of a conversation with a device that cannot be read.

    Reasons: ``truncated``, ``no_btsnoop``, ``unknown_format``, ``damaged``, ``too_long``,
    ``no_device``, ``many_devices``, ``bad_recording``.
    """
