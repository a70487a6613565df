"""The parts of the bench that need no server: what is sent, and how figures become a report."""

from __future__ import annotations

from pathlib import Path

import pytest

from devices.wire import Item
from server.ingest.verdict import judge
from tests.bench.ingest import compare, memory, plot, report
from tests.bench.ingest.loss import Loss
from tests.bench.ingest.messages import SEQ_FIRST, Ready, Traffic, build, gateway_name
from tests.bench.ingest.publisher import _packets
from tests.bench.ingest.speed import Run
from tests.bench.ingest.user_script import rows_of

PATIENTS, GATEWAYS = 100, 10


@pytest.fixture(params=[1, 50])
def ready(request: pytest.FixtureRequest, tmp_path: Path) -> Ready:
    return build(Traffic(request.param, 240, PATIENTS, GATEWAYS), tmp_path)


def payloads(ready: Ready) -> list[tuple[str, bytes]]:
    """Return gateway and payload of every packet in the file."""
    found, used = _packets(ready.path.read_bytes())
    assert used == ready.path.stat().st_size
    messages = []
    for kind, body in found:
        assert kind == 0x32
        length = int.from_bytes(body[:2], "big")
        gateway = bytes(body[2 : 2 + length]).decode().split("/")[2]
        packet = bytes(body)
        messages.append((gateway, packet[packet.index(b'{"v":') :]))
    return messages


def accepted(ready: Ready) -> list[tuple[str, Item]]:
    known = {gateway_name(number) for number in range(GATEWAYS)}
    items = []
    for gateway, payload in payloads(ready):
        topic = f"hemma/v1/{gateway}/{ready.traffic.leaf}"
        verdict = judge(topic, payload, correlation=None, known=known)
        assert not verdict.refused
        assert len(verdict.accepted) == ready.traffic.items_per_message
        items += [(gateway, item) for item in verdict.accepted]
    return items


def test_every_message_is_accepted_and_every_item_has_its_own_number(ready: Ready) -> None:
    items = accepted(ready)
    numbers = sorted(int(item.uid[20:], 16) for _, item in items)
    assert numbers == list(range(len(items)))
    for name in {gateway for gateway, _ in items}:
        seqs = [item.seq for gateway, item in items if gateway == name]
        assert seqs == list(range(SEQ_FIRST, SEQ_FIRST + len(seqs)))


def test_an_item_has_two_components_on_average(ready: Ready) -> None:
    traffic = ready.traffic
    items = accepted(ready)
    samples = sum(len(item.samples) for _, item in items)
    assert samples == 2 * len(items) == traffic.samples(traffic.per_gateway)


def test_no_row_of_a_script_has_the_key_of_another(ready: Ready) -> None:
    rows = [row for _, payload in payloads(ready) for row in rows_of(payload)]
    assert len({row[:4] for row in rows}) == len(rows)


def run(consumer: str, rate: float, cost_us: float) -> Run:
    return Run(
        tier="postgres",
        consumer=consumer,
        items_per_message=50,
        work="drained",
        samples=1000,
        seconds=1.0,
        samples_per_s=rate,
        consumer_us=cost_us,
        postgres_us=0.0,
        broker_us=0.0,
        publisher_us=0.0,
        peak_mib=40.0,
        is_complete=True,
        is_fed=1.0,
        kept={},
    )


def test_ratios_are_ours_divided_by_theirs() -> None:
    runs = [run("ours", rate, 10.0) for rate in (10_000, 30_000, 20_000)]
    summed = compare.summaries([*runs, run("batch", 5_000, 40.0)])
    ((other, rate, cost),) = compare.ratios(summed)
    assert (other.consumer, rate, cost) == ("batch", 4.0, 0.25)
    text = report.comparison(summed)
    assert "20,000 [10,000–30,000]" in text
    assert "4.00" in text
    assert plot.draw(summed, "a & b").startswith("<svg")


def test_a_loss_table_has_a_cell_for_each_fault() -> None:
    found = [
        Loss("postgres", "ours", "database", 2000, 2000, 0, 0, 0, 0, 20.0),
        Loss("postgres", "batch", "database", 2000, 2000, 408, 0, 408, 3, 20.0),
    ]
    text = report.losses(found)
    assert "408 (3 twice)" in text


def test_the_slope_of_memory_is_per_hour() -> None:
    assert memory.slope_per_hour([50 + n / 720 for n in range(300)], 5.0) == pytest.approx(1.0)
    assert memory.slope_per_hour([70.0] * 300, 5.0) == pytest.approx(0.0, abs=1e-9)
