"""Profiles: one file for each device family, none knowing another; see :data:`PROFILES`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from devices.profiles import a_and_d, blood_pressure, oximeter, thermometer, weight
from devices.profiles.profile import Profile

PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        profile.name: profile
        for profile in (
            a_and_d.BLOOD_PRESSURE,
            a_and_d.WEIGHT,
            blood_pressure.BLOOD_PRESSURE,
            oximeter.OXIMETER,
            thermometer.THERMOMETER,
            weight.WEIGHT,
        )
    }
)

__all__ = ["PROFILES", "Profile"]
