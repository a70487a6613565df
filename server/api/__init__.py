"""The JSON interface under ``/api/v1`` (contract.md 4)."""
