"""The gateway's Bluetooth: thin bleak code around :mod:`devices.conversation`, which is pure.

Reading order: ``radio`` (which bleak backend), ``health`` (what the radio's state is), ``session``
(one link with one device), ``listen`` (scan, choose, link, again).

What is particular to BlueZ is not here: a pairing agent (without one even "just works" pairing
fails there) and a subscription made before the link (without it a bonded cuff's first value is
confirmed and lost). They fit beside this without changing it: the agent refuses by the same
``paired`` list that ``listen`` takes; the early subscription writes to the same ``Journal`` as
``session`` does, before anything else; ``Radio`` chooses the backend; what a link needs beforehand
goes around ``session.converse``. No bond is ever made anew in silence: a device that forgot its
bond fails, ever less often, until a person pairs it again.
"""
