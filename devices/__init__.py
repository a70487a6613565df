"""Bluetooth health devices: bytes become measurements here, with no I/O and no clock."""
