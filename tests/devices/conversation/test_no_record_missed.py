"""Whatever breaks, resets or refuses: in the end every record of the meter is kept."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.devices.conversation.reference_meter import Gateway, Habits, Meter

HABITS = [
    Habits(),
    Habits(can_count=False),
    Habits(can_filter=False),
    Habits(can_filter=False, can_count=False),
    Habits(can_filter=False, knows_last=False),
    Habits(knows_last=False),
    Habits(is_newest_first=True),
    Habits(counts_too_many=2),
]


def has_all(gateway: Gateway, meter: Meter) -> bool:
    return gateway.kept >= set(meter.records.values())


@pytest.mark.parametrize("habits", HABITS, ids=str)
@pytest.mark.parametrize("known", [0, 3])
def test_a_link_that_breaks_at_any_point_costs_no_record(habits: Habits, known: int) -> None:
    for point in range(14):
        meter, gateway = Meter(habits), Gateway()
        for _ in range(known):
            meter.measure()
        gateway.link(meter)
        for _ in range(4):
            meter.measure()
        gateway.link(meter, breaks_after=point)
        meter.measure()
        gateway.link(meter)
        assert has_all(gateway, meter), f"broken after {point}"


@pytest.mark.parametrize("habits", HABITS, ids=str)
@pytest.mark.parametrize("known", [0, 3])
def test_a_disk_that_is_full_at_any_point_costs_no_record(habits: Habits, known: int) -> None:
    for point in range(14):
        meter, gateway = Meter(habits), Gateway()
        for _ in range(known):
            meter.measure()
        gateway.link(meter)
        for _ in range(4):
            meter.measure()
        gateway.link(meter, full_from=point)
        gateway.link(meter)
        assert has_all(gateway, meter), f"full from {point}"


@pytest.mark.parametrize("habits", HABITS, ids=str)
@pytest.mark.parametrize("before", [0, 1, 3])
@pytest.mark.parametrize("after", [0, 1, 2, 3, 4, 5])
def test_a_change_of_batteries_costs_no_record(habits: Habits, before: int, after: int) -> None:
    """Also where the new numbers have passed the old ones by the next link."""
    meter, gateway = Meter(habits), Gateway()
    for _ in range(before):
        meter.measure()
    gateway.link(meter)
    meter.begin_anew()
    for _ in range(after):
        meter.measure()
    gateway.link(meter)
    assert has_all(gateway, meter)
    if habits == Habits():
        assert gateway.events == (["numbering_restarted"] if before and after else [])


@pytest.mark.parametrize("habits", HABITS, ids=str)
def test_a_number_that_wraps_costs_no_record(habits: Habits) -> None:
    meter, gateway = Meter(habits, next_number=0xFFFC), Gateway()
    for _ in range(9):
        meter.measure()
        gateway.link(meter)
        assert has_all(gateway, meter)


def test_a_number_that_wraps_costs_no_record_where_the_highest_was_deleted() -> None:
    meter, gateway = Meter(next_number=0xFFFB), Gateway()
    for _ in range(3):
        meter.measure()
    gateway.link(meter)
    for _ in range(3):
        meter.measure()
    del meter.records[0xFFFF]
    gateway.link(meter)
    assert has_all(gateway, meter)


def test_a_wrong_count_is_told_once_a_link_and_stops_nothing() -> None:
    meter, gateway = Meter(Habits(counts_too_many=2)), Gateway()
    meter.measure()
    gateway.link(meter)
    assert gateway.events == ["records_missing"]
    assert gateway.last == 1


def test_what_is_kept_is_not_asked_for_again_beyond_its_proof() -> None:
    meter, gateway = Meter(), Gateway()
    for _ in range(50):
        meter.measure()
    gateway.link(meter)
    meter.measure()
    gateway.requests.clear()
    gateway.link(meter)
    from_50 = b"\x03\x01\x32\x00"
    assert gateway.requests == [b"\x04" + from_50, b"\x01" + from_50]


class MeterAndGateway(RuleBasedStateMachine):
    """Any order of measuring, links that end anywhere, full disks, and changes of batteries."""

    def __init__(self) -> None:
        super().__init__()
        self.gateway = Gateway()
        self.meter = Meter()

    @initialize(habits=st.sampled_from(HABITS), first=st.sampled_from([0, 1, 0xFFFA]))
    def make(self, habits: Habits, first: int) -> None:
        self.meter = Meter(habits, next_number=first)

    @rule(times=st.integers(1, 6))
    def measure(self, times: int) -> None:
        for _ in range(times):
            self.meter.measure()

    @rule()
    def change_batteries(self) -> None:
        self.meter.begin_anew()

    @rule(which=st.integers(0, 20))
    def delete_one(self, which: int) -> None:
        """A person deletes a record on the meter, whether it was kept at home or not."""
        numbers = list(self.meter.records)
        if numbers:
            del self.meter.records[numbers[which % len(numbers)]]

    @rule(times=st.integers(1, 2))
    def be_busy(self, times: int) -> None:
        self.meter.busy = times

    @rule(point=st.integers(0, 30))
    def link_that_breaks(self, point: int) -> None:
        self.gateway.link(self.meter, breaks_after=point)

    @rule(point=st.integers(0, 30))
    def link_with_a_full_disk(self, point: int) -> None:
        self.gateway.link(self.meter, full_from=point)

    @rule()
    def link(self) -> None:
        self.gateway.link(self.meter)
        assert has_all(self.gateway, self.meter)

    @invariant()
    def an_undisturbed_link_would_bring_the_rest(self) -> None:
        later = Gateway(set(self.gateway.kept), self.gateway.last, self.gateway.proof)
        busy, self.meter.busy = self.meter.busy, 0
        later.link(self.meter)
        self.meter.busy = busy
        assert has_all(later, self.meter)


MeterAndGateway.TestCase.settings = settings(
    max_examples=150,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestMeterAndGateway = MeterAndGateway.TestCase
