"""Fixtures that all tests share: private servers, and nothing that hides a missing one."""

from hypothesis import HealthCheck, settings

# The machines are shared: how long an example takes says nothing about the code.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")

pytest_plugins = [
    "tests.fix_postgres",
    "tests.fix_mosquitto",
    "tests.server.fix_ward",
    "tests.browser.fix_nurse",
]
