"""From the broker to the store: each item is judged, kept, and only then acknowledged."""
