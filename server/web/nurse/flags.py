"""Flags in words: what a device, a gateway or a person said of a value, beside its number."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from alerts.standing import DOUBTED, NO_READING
from server.web.words import Words

SAYINGS: Mapping[str, str] = MappingProxyType(
    {
        # How it was measured.
        "irregular_pulse": "oregelbunden puls",
        "cuff_loose": "manschetten satt löst",
        "movement": "rörelse under mätningen",
        "body_movement": "rörelse under mätningen",
        "improper_position": "armen låg fel",
        "measurement_position": "armen låg fel",
        "pulse_rate_high": "pulsen över apparatens område",
        "pulse_rate_low": "pulsen under apparatens område",
        "measurement_failed": "mätningen misslyckades",
        "measurement_ongoing": "mätningen pågick än",
        "from_storage": "ur apparatens minne",
        "validated": "bekräftat av apparaten",
        "fully_qualified": "uppfyller apparatens alla krav",
        "low_perfusion": "svag genomblödning i fingret",
        "extended_display_update": "apparatens visning släpade efter",
        "signal_analysis_ongoing": "apparaten räknade än på signalen",
        "unknown_site": "okänt mätställe",
        "unknown_sample_type": "okänt slags prov",
        "unknown_sample_location": "okänt ställe för provet",
        "manually_entered": "inskrivet på apparaten för hand",
        # No reading of the person (alerts/standing.py).
        "control_solution": "kontrollösning, inte personens blod",
        "demonstration": "demonstration, ingen mätning",
        "testing": "provkörning, ingen mätning",
        "setting": "inställning på apparaten, ingen mätning",
        "early_estimate": "preliminärt värde, mätningen var inte klar",
        "invalid_measurement": "ogiltig mätning enligt apparaten",
        "measurement_unavailable": "inget giltigt värde enligt apparaten",
        "no_skin_contact": "ingen kontakt med huden",
        "sensor_unconnected_to_user": "givaren satt inte på personen",
        "sensor_disconnected": "givaren var inte ansluten",
        # What the device doubts (alerts/standing.py).
        "questionable_measurement": "apparaten är osäker på värdet",
        "questionable_pulse": "apparaten är osäker på pulsen",
        "inadequate_signal": "för svag signal",
        "poor_signal": "dålig signal",
        "erratic_signal": "ryckig signal",
        "nonpulsatile_signal": "ingen puls i signalen",
        "signal_irregularity": "ojämn signal",
        "sensor_interference": "störning i givaren",
        "sensor_displaced": "givaren hade glidit",
        "unknown_sensor": "okänd givare",
        "sensor_malfunction": "fel på givaren",
        "sensor_type_incorrect": "fel sorts givare",
        "equipment_malfunction": "fel på apparaten",
        "general_device_fault": "fel på apparaten",
        "calibrating": "apparaten kalibrerades",
        "calibration_required": "måste kalibreras",
        "session_stopped": "givarens tid är slut",
        "read_interrupted": "mätningen avbröts",
        "sample_size_insufficient": "för liten bloddroppe",
        "strip_insertion_error": "remsan satt fel",
        "strip_type_incorrect": "fel sorts remsa",
        "temperature_too_high": "för varmt för apparaten",
        "temperature_too_low": "för kallt för apparaten",
        # What the device's own limits and clock say.
        "result_too_high": "högre än apparaten kan visa",
        "result_too_low": "lägre än apparaten kan visa",
        "below_hypo": "under apparatens gräns för mycket lågt",
        "above_hyper": "över apparatens gräns för mycket högt",
        "below_patient_low": "under gränsen inställd i apparaten",
        "above_patient_high": "över gränsen inställd i apparaten",
        "rate_of_decrease_exceeded": "sjunker fort enligt apparaten",
        "rate_of_increase_exceeded": "stiger fort enligt apparaten",
        "threshold_error": "utanför gränsen inställd i apparaten",
        "thresholding_disabled": "apparatens egna gränser är avstängda",
        "device_specific_alert": "apparatens egen varning",
        "calibration_recommended": "bör kalibreras",
        "calibration_not_allowed": "kan inte kalibreras nu",
        "device_clock_not_set": "apparatens klocka är inte ställd",
        "device_time_unknown": "apparaten vet inte tiden",
        "device_time_invalid": "omöjlig tid från apparaten",
        "base_time_only": "tid utan tidszon från apparaten",
        "other_timeline": "apparatens klocka har ställts om sedan dess",
        "time_fault": "fel på apparatens klocka",
        "time_offset_out_of_range": "apparatens klocka är för långt fel",
        "time_synchronisation_required": "apparatens klocka måste ställas",
        "unknown_status": "okänt meddelande från apparaten",
        # The battery.
        "device_battery_low": "svagt batteri i apparaten",
        "battery_fault": "fel på batteriet",
        "charging_fault_battery": "laddas inte: fel på batteriet",
        "charging_fault_power_source": "laddas inte: fel på strömmen",
        "charging_fault_other": "laddas inte",
        # What gateway, server and people say.
        "possible_repeat": "kan vara samma mätning igen",
        "implausible": "orimligt värde, kontrollera",
        "manual": "inskrivet för hand",
        "retracted": "återtaget",
        "not_me": "”det var inte jag”",
    }
)
"""Every flag that a decoder can give, and those given here, in Swedish."""

ALARMING = frozenset({"implausible", "retracted", "not_me", "possible_repeat"}) | (
    NO_READING | DOUBTED
)
"""What a nurse must doubt. Everything else that is known of a value is said quietly."""


def saying(name: str, words: Words) -> str:
    """Return a flag in words; one that has none is shown as it came, never hidden."""
    said = SAYINGS.get(name)
    return name.replace("_", " ") if said is None else words.text(said)
