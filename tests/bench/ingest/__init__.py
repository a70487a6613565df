"""Ingest beside what a user would otherwise write or install: ``python -m tests.bench.ingest``."""
