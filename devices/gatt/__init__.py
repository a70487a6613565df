"""One module a characteristic, decode beside encode; :func:`decode` finds the right one."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from devices.errors import DecodeError
from devices.gatt import (
    battery,
    battery_status,
    blood_pressure,
    blood_pressure_feature,
    body_composition,
    body_composition_feature,
    body_sensor_location,
    bond_management,
    bond_management_feature,
    cgm,
    cgm_feature,
    cgm_ops,
    cgm_session_run,
    cgm_session_start,
    cgm_status,
    cuff_pressure,
    current_time,
    date_time,
    device_information,
    dst_offset,
    elapsed_time,
    enhanced_blood_pressure,
    enhanced_cuff_pressure,
    glucose,
    glucose_context,
    glucose_feature,
    health_observation,
    heart_rate,
    intermediate_temperature,
    local_time,
    nonin_oximetry,
    plx,
    plx_continuous,
    plx_features,
    pnp_id,
    record_access,
    regulatory,
    system_id,
    taidoc_record,
    temperature,
    temperature_type,
    time_zone,
    user_control_point,
    user_index,
    weight,
    weight_feature,
)
from devices.gatt.reading import Fields, Reading
from devices.measurement import Measurement

__all__ = ["CHARACTERISTICS", "Decoded", "Fields", "Reading", "decode", "short_uuid"]

Decoded = Reading | Fields
"""What a characteristic value turned out to hold."""

CHARACTERISTICS: Mapping[str, Callable[[bytes], Measurement | Reading | Fields]] = MappingProxyType(
    {
        module.CHARACTERISTIC: module.decode
        for module in (
            blood_pressure,
            cuff_pressure,
            blood_pressure_feature,
            enhanced_blood_pressure,
            enhanced_cuff_pressure,
            weight,
            weight_feature,
            body_composition,
            body_composition_feature,
            temperature,
            intermediate_temperature,
            temperature_type,
            plx,
            plx_continuous,
            plx_features,
            glucose,
            glucose_context,
            glucose_feature,
            record_access,
            cgm,
            cgm_feature,
            cgm_status,
            cgm_session_start,
            cgm_session_run,
            cgm_ops,
            heart_rate,
            body_sensor_location,
            battery,
            battery_status,
            date_time,
            current_time,
            local_time,
            dst_offset,
            time_zone,
            elapsed_time,
            pnp_id,
            system_id,
            regulatory,
            user_index,
            user_control_point,
            bond_management,
            bond_management_feature,
            nonin_oximetry,
            taidoc_record,
        )
    }
    | {
        uuid: partial(module.decode, characteristic=uuid)
        for module, uuids in (
            (device_information, device_information.NAMES),
            (health_observation, health_observation.CHARACTERISTICS),
        )
        for uuid in uuids
    }
)
"""Decoders by UUID as it travels in an item's ``char``: four upper-case digits, or a maker's 36."""

_SHORT = re.compile(r"[0-9A-F]{4}")
_LONG = re.compile(r"[0-9A-F]{8}-([0-9A-F]{4}-){3}[0-9A-F]{12}")
_BARE = re.compile(r"([0-9A-F]{8})([0-9A-F]{4})([0-9A-F]{4})([0-9A-F]{4})([0-9A-F]{12})")
_SIG = re.compile(r"0000([0-9A-F]{4})-0000-1000-8000-00805F9B34FB")


def short_uuid(uuid: str) -> str:
    """Return ``uuid`` as it travels: four upper-case digits of the SIG's, else 36 lower-case ones.

    Takes 16 or 128 bits in any case, with or without hyphens; DecodeError where it is neither.
    """
    upper = uuid.upper()
    if _SHORT.fullmatch(upper):
        return upper
    if bare := _BARE.fullmatch(upper):
        upper = "-".join(bare.groups())
    if not _LONG.fullmatch(upper):
        raise DecodeError("bad_uuid", f"{uuid[:40]!r} has neither 16 nor 128 bits")
    sig = _SIG.fullmatch(upper)
    return sig[1] if sig else upper.lower()


def decode(uuid: str, raw: bytes) -> Decoded:
    """Decode one value of the characteristic ``uuid`` (16 or 128 bits, any case).

    Raises DecodeError, and nothing else, where the characteristic is not known or the bytes are not
    what it prescribes.
    """
    # The form that travels is the key, so it needs no parsing.
    decoder = CHARACTERISTICS.get(uuid) or CHARACTERISTICS.get(short_uuid(uuid))
    if decoder is None:
        raise DecodeError("unknown_characteristic", short_uuid(uuid))
    decoded = decoder(raw)
    return Reading((decoded,)) if isinstance(decoded, Measurement) else decoded
