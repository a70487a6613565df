"""The access log: every read, every list and every refused try."""
