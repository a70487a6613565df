"""The server's way to the MQTT broker: :class:`BrokerClient`, and the :class:`Message` it gives.

In reading order: ``client.py``, ``incoming.py``, ``outgoing.py``, ``connection.py``, ``link.py``,
``packets.py``. Why it is built so: docs/decisions/0023.
"""

from server.broker.client import BrokerClient
from server.broker.packets import Message

__all__ = ["BrokerClient", "Message"]
