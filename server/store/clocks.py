"""What the clocks say of a batch's items, column by column: each is read once for all steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from devices.wire import Item
from server.store.arrays import times_or_missing
from server.store.row_blocks import Column


@dataclass(frozen=True, slots=True)
class Clocks:
    """An item's ``t``, ``gw_t`` and ``dev_t`` (contract.md 5), one element for each item.

    As PostgreSQL counts them (``arrays.microseconds``), MISSING where the item has none.
    """

    measured: Column
    gateway: Column
    device: Column

    @classmethod
    def of(cls, items: Sequence[Item]) -> Self:
        """Read the clocks of ``items``."""
        return cls(
            times_or_missing([item.t for item in items]),
            times_or_missing([item.gw_t for item in items]),
            times_or_missing([item.dev_t for item in items]),
        )

    def take(self, positions: Sequence[int] | Column) -> Clocks:
        """Return those of the items at these positions."""
        return Clocks(self.measured[positions], self.gateway[positions], self.device[positions])
