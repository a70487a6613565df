"""A scan that ends when its block does, however that comes about.

bleak's scanners share one connection to BlueZ, and BlueZ answers "already in progress" to whoever
starts while a scan of that connection runs. So a start that is cancelled half-way is waited for and
taken back, else no scan of this process would ever start again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from bleak import BleakScanner

from gateway.ble.gatt import LINK_ERRORS

SCANNER_START_MAX_S = 15.0
SCANNER_STOP_MAX_S = 5.0


@asynccontextmanager
async def scanning(scanner: BleakScanner) -> AsyncIterator[None]:
    """Scan while the block lasts; raises one of LINK_ERRORS where it cannot be started.

    A scan that cannot be stopped does not hide why it was to stop; the next start then says what is
    wrong.
    """
    starting = asyncio.ensure_future(scanner.start())
    try:
        async with asyncio.timeout(SCANNER_START_MAX_S):
            await asyncio.shield(starting)
        yield
    finally:
        with suppress(*LINK_ERRORS):
            async with asyncio.timeout(SCANNER_STOP_MAX_S):
                await asyncio.wait({starting})
                if starting.exception() is None:
                    await scanner.stop()
        # Only where nobody answered it at all; done is done.
        starting.cancel()
