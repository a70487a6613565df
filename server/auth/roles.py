"""Who may do what. A role is an assignment's; a right is what one route asks for."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Role(StrEnum):
    """The roles of the schema."""

    NURSE = "nurse"
    PHYSICIAN = "physician"
    HOME_CARE = "home_care"
    ADMINISTRATOR = "administrator"


class Right(StrEnum):
    """What a route asks for."""

    SEE_WORKLIST = "see_worklist"
    HANDLE_ALERTS = "handle_alerts"
    LIST_PATIENTS = "list_patients"
    SEE_PATIENT = "see_patient"
    ENTER_VALUE = "enter_value"
    ADMINISTER = "administer"


# Home-care staff help to measure and never see curves; an administrator sees devices, not people
# (need.md).
RIGHTS: Mapping[str, frozenset[Right]] = {
    Role.NURSE: frozenset(
        {
            Right.SEE_WORKLIST,
            Right.HANDLE_ALERTS,
            Right.LIST_PATIENTS,
            Right.SEE_PATIENT,
            Right.ENTER_VALUE,
        }
    ),
    Role.PHYSICIAN: frozenset({Right.SEE_WORKLIST, Right.LIST_PATIENTS, Right.SEE_PATIENT}),
    Role.HOME_CARE: frozenset({Right.LIST_PATIENTS, Right.ENTER_VALUE}),
    Role.ADMINISTRATOR: frozenset({Right.ADMINISTER}),
}

HOME: Mapping[str, str] = {
    Role.NURSE: "/arbetslista",
    Role.PHYSICIAN: "/arbetslista",
    Role.HOME_CARE: "/patienter",
    Role.ADMINISTRATOR: "/administration",
}
"""The page each role starts at."""
