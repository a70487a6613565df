"""From the broker to the store: each item is judged, kept, and only then acknowledged."""

from server.ingest.role import run

__all__ = ["run"]
