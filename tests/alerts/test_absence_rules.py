"""Silence and batteries, on both sides of each level."""

from __future__ import annotations

import pytest

from alerts.absence import BatteryRead, GatewayHeard, battery_low, gateway_silent, lineage
from alerts.decision import Decided
from alerts.rules import Severity
from tests.alerts.fix_readings import at

LONG_AGO = at(-100_000)
BLUE, YELLOW = Severity.BLUE, Severity.YELLOW


@pytest.mark.parametrize(
    ("offline", "heard", "minutes", "expected"),
    [
        (0, 0, 59, None),
        (0, 0, 60, BLUE),
        (0, 0, 24 * 60 - 1, BLUE),
        (0, 0, 24 * 60, YELLOW),
        (None, 0, 74, None),  # a status an hour, and one may be late
        (None, 0, 75, BLUE),
        (None, 0, 24 * 60, YELLOW),
        (None, None, 24 * 60, None),  # never heard: not installed yet
    ],
)
def test_a_silent_gateway(
    offline: int | None, heard: int | None, minutes: int, expected: Severity | None
) -> None:
    gateway = GatewayHeard(
        "hemma-1",
        None if offline is None else at(offline),
        None if heard is None else at(heard),
    )
    decision = gateway_silent(gateway, at(minutes), listening_since=LONG_AGO)
    assert (decision and decision.severity) == expected


def test_a_silent_gateway_reads_as_a_sentence() -> None:
    gateway = GatewayHeard("hemma-1", at(0), at(0))
    decision = gateway_silent(gateway, at(180), listening_since=LONG_AGO)
    assert decision is not None
    assert decision.text.sv == (
        "Mottagaren hemma-1 har varit tyst i 3 timmar. Värden därifrån kommer inte fram."
    )
    assert lineage(decision) == "tech.gateway"


def test_a_server_that_was_away_blames_nobody() -> None:
    quiet = GatewayHeard("hemma-1", None, at(-600))
    assert gateway_silent(quiet, at(74), listening_since=at(0)) is None
    assert gateway_silent(quiet, at(75), listening_since=at(0)) is not None


def test_silence_is_said_once_raised_once_and_ends_when_heard() -> None:
    silent = GatewayHeard("hemma-1", at(0), at(0), BLUE)
    assert gateway_silent(silent, at(120), listening_since=LONG_AGO) is None
    raised = gateway_silent(silent, at(24 * 60), listening_since=LONG_AGO)
    assert raised is not None
    assert (raised.decided, raised.severity) == (Decided.EXTEND, YELLOW)
    heard = GatewayHeard("hemma-1", None, at(1500), YELLOW)
    ended = gateway_silent(heard, at(1501), listening_since=LONG_AGO)
    assert ended is not None
    assert ended.decided is Decided.CLEAR
    assert ended.text.sv == "Mottagaren hörs igen."


def test_an_open_alert_of_a_gateway_that_was_never_heard_stays() -> None:
    odd = GatewayHeard("hemma-1", None, None, BLUE)
    assert gateway_silent(odd, at(0), listening_since=LONG_AGO) is None


@pytest.mark.parametrize(
    ("percent", "open_severity", "expected"),
    [
        (21, None, None),
        (20, None, Decided.FIRE),
        (20, BLUE, None),
        (29, BLUE, None),
        (30, BLUE, Decided.CLEAR),
        (30, None, None),
    ],
)
def test_a_battery(percent: int, open_severity: Severity | None, expected: Decided | None) -> None:
    read = BatteryRead("ble-0011", "Våg", percent, at(0), open_severity)
    decision = battery_low(read, at(1))
    assert (decision and decision.decided) == expected
    if decision is not None:
        assert lineage(decision) == "tech.battery/ble-0011"


def test_a_battery_reads_as_a_sentence() -> None:
    decision = battery_low(BatteryRead("ble-0011", "Våg", 12, at(0)), at(1))
    assert decision is not None
    assert decision.text.sv == "Svagt batteri i Våg: 12 %."
