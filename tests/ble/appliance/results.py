"""The table of ``docs/bluetooth-scenarios.md``, from what pytest wrote of a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

INTRODUCTION: Final = """\
# Scenarios on the real Bluetooth stack

Written by the commands below; do not edit. Each scenario ran on a real bluetoothd and a real Linux
kernel in an emulated machine, against virtual devices, with the gateway unmodified
([how](../tests/ble/README.md)). **No real device and no radio was involved.**

F1 to F5, faults of BlueZ, made this necessary: F1 no agent, no pairing; F2 a value that a
bonded device sends at once is confirmed and lost; F3 an incomplete list of services right after
pairing; F4 a device that forgot its bond; F5 a kernel bug that takes bluetoothd away.

```
python -m pytest tests/ble -m ble --numprocesses=4 --dist=loadgroup --junitxml=ble.xml
python -m tests.ble.appliance table ble.xml > docs/bluetooth-scenarios.md
```
"""


@dataclass(frozen=True, slots=True)
class Result:
    """One scenario on one BlueZ."""

    chapter: str
    scenario: str
    device: str
    variant: str
    bluez: str
    linux: str
    booted_s: float
    seconds: float
    outcome: str
    note: str


def read_results(path: Path) -> list[Result]:
    """Read pytest's junit file; tests that did not use a guest are left out."""
    tree = ElementTree.parse(path)  # noqa: S314 - written by our own pytest a moment ago
    return [result for case in tree.iter("testcase") for result in _result(case)]


def _result(case: ElementTree.Element) -> Iterator[Result]:
    told = {one.get("name", ""): one.get("value", "") for one in case.iter("property")}
    if "variant" in told:
        yield Result(
            chapter=told["chapter"],
            scenario=told["scenario"],
            device=told.get("device", ""),
            variant=told["variant"],
            bluez=told["bluez"],
            linux=told["linux"],
            booted_s=float(told["booted_s"]),
            seconds=float(case.get("time", "0")),
            outcome=_outcome(case),
            note=told.get("note", ""),
        )


def _outcome(case: ElementTree.Element) -> str:
    skipped = case.find("skipped")
    is_expected = skipped is not None and skipped.get("type") == "pytest.xfail"
    if is_expected or case.find("failure") is not None or case.find("error") is not None:
        # Also where the tests expect it: whoever reads the table is told what does not work.
        return "**failed**"
    if skipped is not None:
        return "not run"
    return "passed"


def table(results: Sequence[Result]) -> str:
    """Return the whole page."""
    variants = list(dict.fromkeys(result.variant for result in results))
    variants.sort(key=lambda name: (len(name), name != "5.82"))
    lines = [INTRODUCTION, *_guests(results, variants)]
    for chapter in dict.fromkeys(result.chapter for result in results):
        mine = [result for result in results if result.chapter == chapter]
        shown = [name for name in variants if any(result.variant == name for result in mine)]
        lines += ["", f"## {chapter}", "", f"| scenario | device | {' | '.join(shown)} |"]
        lines.append("|---|---|" + "---|" * len(shown))
        for scenario, device in dict.fromkeys((one.scenario, one.device) for one in mine):
            row = [one for one in mine if (one.scenario, one.device) == (scenario, device)]
            cells = [_cell(row, name) for name in shown]
            lines.append(f"| {scenario} | {device} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _guests(results: Sequence[Result], variants: Sequence[str]) -> Iterator[str]:
    yield "| guest | BlueZ | Linux | up in | scenarios | passed | time in all |"
    yield "|---|---|---|---|---|---|---|"
    for name in variants:
        mine = [result for result in results if result.variant == name]
        passed = sum(result.outcome == "passed" for result in mine)
        seconds = sum(result.seconds for result in mine)
        one = mine[0]
        yield (
            f"| {name} | {one.bluez} | {one.linux} | {one.booted_s:.1f} s | {len(mine)} | {passed}"
            f" | {seconds:.0f} s |"
        )


def _cell(row: Sequence[Result], variant: str) -> str:
    mine = [result for result in row if result.variant == variant]
    if not mine:
        return ""
    outcomes = dict.fromkeys(result.outcome for result in mine)
    notes = dict.fromkeys(result.note for result in mine if result.note)
    return "; ".join([*outcomes, *notes])
