"""What people do with an alert, under the name of what they do it to.

The commands stand in ``server.store.alert_commands``, where pages and interface may import them.
"""

from __future__ import annotations

from server.store.alert_commands import Answer, Conflict, UnknownAlert, close, note, release, take

__all__ = ["Answer", "Conflict", "UnknownAlert", "close", "note", "release", "take"]
