"""Profiles: one file for each device family, none knowing another; see :data:`PROFILES`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType

from devices.errors import DecodeError
from devices.gatt import short_uuid
from devices.profiles import (
    a_and_d,
    accu_chek,
    beurer,
    blood_pressure,
    cgm,
    contour,
    glucose,
    heart_rate,
    masimo,
    medisana,
    nonin,
    oximeter,
    polar,
    taidoc,
    thermometer,
    weight,
)
from devices.profiles.profile import Bonding, Profile, Records

PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        profile.name: profile
        for profile in (
            a_and_d.BLOOD_PRESSURE,
            a_and_d.WEIGHT,
            accu_chek.GLUCOSE,
            beurer.BLOOD_PRESSURE,
            beurer.SCALE,
            contour.GLUCOSE,
            masimo.OXIMETER,
            medisana.BLOOD_PRESSURE,
            nonin.OXIMETER,
            nonin.SPOT_CHECK,
            polar.HEART_RATE,
            taidoc.METER,
            taidoc.THERMOMETER,
            # Any device of the SIG's services, for want of something better known. The order is
            # that of choice: a composition has the weight in it, a spot-check is what is wanted.
            blood_pressure.BLOOD_PRESSURE,
            thermometer.THERMOMETER,
            oximeter.OXIMETER,
            oximeter.OXIMETER_CONTINUOUS,
            weight.BODY_COMPOSITION,
            weight.WEIGHT,
            glucose.GLUCOSE,
            cgm.CGM,
            heart_rate.HEART_RATE,
        )
    }
)
"""Every profile by its name."""

_SIG_LENGTH = 4
# A name of so few letters, such as BM, is anybody's; it counts where a service agrees.
_NAME_ALONE_MIN = 4


def suggest(local_name: str | None, services: Collection[str]) -> tuple[Profile, ...]:
    """Return the profiles that a device may be enrolled with, best first.

    ``local_name`` and ``services`` are what it advertises: the name or None, and service UUIDs of
    16 or 128 bits. A family is suggested by the beginning of its name, whatever the case: first
    where a service agrees, then the longest beginning; one with a service of its maker's own also
    by that. Behind them stand the standard profiles by their services. Empty where nothing fits.
    """
    offered = {short for uuid in services if (short := _short(uuid)) is not None}
    name = (local_name or "").strip().upper()
    ranked = [(_rank(profile, name, offered), profile) for profile in PROFILES.values()]
    fitting = [(rank, profile) for rank, profile in ranked if any(rank)]
    fitting.sort(key=lambda ranked_profile: ranked_profile[0], reverse=True)
    return tuple(profile for _, profile in fitting)


def _rank(profile: Profile, name: str, offered: Collection[str]) -> tuple[bool, int, int, int]:
    """Return how well it fits, the weightiest first.

    That name and service agree; letters of the name; makers' own services; standard services.
    """
    shared = [service for service in profile.services if service in offered]
    known = [own for own in profile.names if name.startswith(own.upper())]
    letters = max(map(len, known), default=0)
    if letters < _NAME_ALONE_MIN and not shared:
        letters = 0
    makers = sum(len(service) > _SIG_LENGTH for service in shared)
    if profile.names and not letters:
        # A service that many makers have does not make a device one of this family.
        return False, 0, makers, 0
    return bool(letters and shared), letters, makers, len(shared) - makers


def _short(uuid: str) -> str | None:
    try:
        return short_uuid(uuid)
    except DecodeError:
        # What is advertised is anybody's: a UUID of 32 bits, or none at all.
        return None


__all__ = ["PROFILES", "Bonding", "Profile", "Records", "suggest"]
