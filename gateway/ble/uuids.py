"""UUIDs as bleak and BlueZ write them, and as the profiles do."""

from __future__ import annotations

from devices.profiles import Profile

BASE_PREFIX = "0000"
BASE_SUFFIX = "-0000-1000-8000-00805f9b34fb"


def short_uuid(uuid: str) -> str:
    """Return four upper-case hex digits for a UUID of the Bluetooth base, else 36 in lower case."""
    uuid = uuid.lower()
    if uuid.startswith(BASE_PREFIX) and uuid.endswith(BASE_SUFFIX):
        return uuid[4:8].upper()
    return uuid


def long_uuid(characteristic: str) -> str:
    """Return the 36 characters, in lower case, of what :func:`short_uuid` returned."""
    if len(characteristic) > len(BASE_PREFIX):
        return characteristic.lower()
    return f"{BASE_PREFIX}{characteristic.lower()}{BASE_SUFFIX}"


def subscribable(profile: Profile) -> frozenset[str]:
    """Return the characteristics of ``profile`` whose values come by themselves."""
    control = () if profile.records is None else (profile.records.control_point,)
    return frozenset((*profile.measurements, *profile.optional, *control))
