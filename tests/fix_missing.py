"""What happens when a server that a test needs is not here."""

import os
from typing import NoReturn

import pytest


def missing(what: str) -> NoReturn:
    """Skip with a reason at a developer's desk; fail where everything must be there.

    `deploy/test.sh` sets HEMMA_TEST_REQUIRE_ALL, and CI means the same: there a skip is a lie.
    """
    if os.environ.get("CI") == "true" or os.environ.get("HEMMA_TEST_REQUIRE_ALL") == "1":
        pytest.fail(f"{what} Run `sh deploy/test.sh`, which gets it.", pytrace=False)
    pytest.skip(f"{what} Nothing that needs it is tried. `sh deploy/test.sh` gets it.")
