"""The RCP 2017 table once more, transcribed as the words of its cells, and read by another way.

Nothing here comes from the code it is compared with: cells are looked through one by one, numbers
are whole (temperature in tenths), and every value must lie in exactly one cell.
"""

from __future__ import annotations

from functools import cache

COLUMNS = (3, 2, 1, 0, 1, 2, 3)
ROWS = {
    "respiratory_rate": "≤8 | | 9–11 | 12–20 | | 21–24 | ≥25",
    "spo2 scale 1": "≤91 | 92–93 | 94–95 | ≥96 | | |",
    "spo2 scale 2 on air": "≤83 | 84–85 | 86–87 | 88–92, ≥93 | | |",
    "spo2 scale 2 on oxygen": "≤83 | 84–85 | 86–87 | 88–92 | 93–94 | 95–96 | ≥97",
    "systolic": "≤90 | 91–100 | 101–110 | 111–219 | | | ≥220",
    "pulse": "≤40 | | 41–50 | 51–90 | 91–110 | 111–130 | ≥131",
    "temperature": "≤35.0 | | 35.1–36.0 | 36.1–38.0 | 38.1–39.0 | ≥39.1 |",
}
GRID = {
    "respiratory_rate": range(61),
    "spo2": range(50, 101),
    "systolic": range(40, 301),
    "pulse": range(20, 251),
    "temperature": range(300, 431),  # tenths
}
"""Every value that is tried, in whole numbers."""
LEVELS = "ACVPU"

Value = int | bool | str | None
Case = dict[str, Value]
"""Names of contract.md 3; the temperature in tenths of a degree."""


@cache
def cell(row: str, value: int) -> int:
    """The points of a whole number in a row of the table."""
    cells = zip(COLUMNS, ROWS[row].split("|"), strict=True)
    [points] = [
        points for points, text in cells for part in text.split(",") if _lies_in(part, value)
    ]
    return points


def _lies_in(part: str, value: int) -> bool:
    text = part.strip().replace(".", "")
    if not text:
        return False
    if text[0] == "≤":
        return value <= int(text[1:])
    if text[0] == "≥":
        return value >= int(text[1:])
    low, high = text.split("–")
    return int(low) <= value <= int(high)


def points(item: str, case: Case) -> int:
    """The points of one item of a case that has it, and the oxygen where SpO2 needs that."""
    return _points(item, case[item], case["scale"], case["on_oxygen"])


@cache
def _points(item: str, value: Value, scale: Value, on_oxygen: Value) -> int:
    if item == "on_oxygen":
        return 2 if value else 0
    if item == "consciousness":
        return 0 if value == "A" else 3
    assert isinstance(value, int)
    if item == "spo2":
        if scale == 1:
            return cell("spo2 scale 1", value)
        return cell(f"spo2 scale 2 on {'oxygen' if on_oxygen else 'air'}", value)
    return cell(item, value)


ITEMS = (
    "respiratory_rate",
    "spo2",
    "on_oxygen",
    "systolic",
    "pulse",
    "consciousness",
    "temperature",
)


def total(case: Case) -> int:
    """The sum of a complete case."""
    return sum(points(item, case) for item in ITEMS)


def risk(case: Case) -> str:
    """The band of a complete case, as RCP 2017 words its thresholds."""
    aggregate = total(case)
    if aggregate >= 7:
        return "high"
    if aggregate in (5, 6):
        return "medium"
    return "low-medium" if 3 in [points(item, case) for item in ITEMS] else "low"


# One value of each cell of every row, so that completions are tried by cell.
COMPLETIONS: dict[str, tuple[int | bool | str, ...]] = {
    "respiratory_rate": (8, 10, 15, 22, 30),
    "spo2": (80, 84, 87, 90, 93, 94, 95, 97),
    "on_oxygen": (False, True),
    "systolic": (80, 95, 105, 130, 230),
    "pulse": (35, 45, 70, 100, 120, 140),
    "consciousness": ("A", "V"),
    "temperature": (340, 355, 370, 385, 400),
}
