"""Reaching staff who look at no page: nothing yet. The role ``notify`` is ``server.fleet``."""
