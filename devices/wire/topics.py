"""Topic names: ``hemma/v1/{gateway}/{leaf}`` (contract.md 1)."""

from __future__ import annotations

import re

from devices.errors import WireError

GATEWAY_PATTERN = r"[a-z0-9-]{1,40}"
LEAVES = frozenset(
    {
        "measurements",
        "backlog",
        "ack",
        "receipts",
        "requests",
        "config",
        "config/reported",
        "status",
        "log",
    }
)
_GATEWAY = re.compile(GATEWAY_PATTERN)
_TOPIC = re.compile(rf"hemma/v1/({GATEWAY_PATTERN})/(.+)")


def topic(gateway: str, leaf: str) -> str:
    """Return the topic of ``leaf``; WireError ``bad_gateway`` for a name outside the alphabet."""
    assert leaf in LEAVES, leaf
    if not _GATEWAY.fullmatch(gateway):
        raise WireError("bad_gateway", repr(gateway[:60]))
    return f"hemma/v1/{gateway}/{leaf}"


def gateway_of(name: str) -> tuple[str, str]:
    """Return gateway and leaf of a topic; WireError ``bad_topic`` where it is none of ours."""
    match = _TOPIC.fullmatch(name)
    if match is None or match[2] not in LEAVES:
        raise WireError("bad_topic", repr(name[:120]))
    return match[1], match[2]
