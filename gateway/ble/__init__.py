"""The gateway's Bluetooth: thin code around :mod:`devices.conversation`, which is pure.

Reading order: ``radio`` (which stack), ``health`` (what the radio's state is), ``link`` and
``gatt`` (one link and its characteristics), ``connect`` (making one), ``session`` and ``steps``
(what the conversation commands), ``room`` (who was heard, who rests), ``scan``, ``listen`` (scan,
choose, link, again), ``turn`` (listening and enrolling share the adapter).

On BlueZ bleak scans and links; the rest goes over one bus connection of our own, which outlives
links (docs/decisions/0011): ``bus``, ``objects`` (what BlueZ knows), ``subscriptions`` (made before
the link, so that a cuff that sends at once is heard), ``bluez_gatt`` (reads and writes), ``watch``
(bluetoothd and adapter, gone and back), ``recovery`` (steps against a stuck radio), ``kernel``.
What BlueZ was seen to do, fault by fault: docs/bluetooth.md.

Enrolling is an operator's act: ``pairing`` (the procedure), ``agent`` (accepts only what is being
enrolled), ``bonding``, ``nearby``, ``trouble``. No bond is ever made anew in silence: a device that
forgot its bond fails, is named in the status, and waits for a person.
"""
