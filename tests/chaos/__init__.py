"""A seeded campaign of faults against the whole promise: every value once (README.md)."""
