"""Fixtures that all tests share: private servers, and nothing that hides a missing one."""

pytest_plugins = [
    "tests.fix_postgres",
    "tests.fix_mosquitto",
    "tests.server.fix_ward",
    "tests.browser.fix_nurse",
]
