"""Makers' own protocols: :mod:`devices.vendor.exchange` is the seam, ``makers`` finds the maker."""
