"""The BlueZ appliance: a small emulated machine with a real kernel and a real bluetoothd, no radio.

Reading order: ``recipe`` (what goes in), ``tree``, ``elf`` and ``archive`` (how an image is made),
``images`` (where it is kept), ``init.sh`` (what runs in it), ``guest`` (how it is started and
commanded), ``results`` (the table in ``docs/``). By hand: ``python -m tests.ble.appliance``.
"""
