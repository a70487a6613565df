"""The homes seen from the server: who is online, what they are told, and what care has seen."""

from server.fleet.role import run

__all__ = ["run"]
