"""The gateway's Bluetooth: thin bleak code around :mod:`devices.conversation`, which is pure.

Reading order: ``radio`` (which bleak backend), ``health`` (what the radio's state is), ``session``
(one link with one device), ``listen`` (scan, choose, link, again).

What is particular to BlueZ has its own place beside this and is not here: the pairing agent
(without one even "just works" pairing fails there) and the subscription made before the link,
without which a bonded cuff's first value is confirmed and lost. Three seams take them up:
``radio.Radio`` chooses the backend, ``session.converse`` is given the link's events and may be fed
values that arrived before it subscribed, and ``listen``'s ``journal`` takes such values from any
caller. A device is bonded only when it is among the paired ones, so an agent has the same list to
refuse strangers by.
"""
