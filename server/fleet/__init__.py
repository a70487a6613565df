"""The homes seen from the server: who is online, what they are told, and what care has seen."""
