"""The server: stores, judges, shows, and tells someone to act."""
