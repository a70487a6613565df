"""Whether a change comes from our own page."""

import pytest

from server.auth.csrf import check_origin, check_token
from server.auth.errors import BadCsrf

OWN = frozenset({"https://hemma.example"})


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec-fetch-site": "same-origin"},
        {"origin": "https://hemma.example"},
        {"sec-fetch-site": "same-origin", "origin": "https://other.example"},
    ],
)
def test_own_pages_pass(headers: dict[str, str]) -> None:
    check_origin(headers, origins=OWN)


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"origin": "https://other.example"},
        {"origin": "null"},
    ],
)
def test_other_sites_do_not(headers: dict[str, str]) -> None:
    with pytest.raises(BadCsrf):
        check_origin(headers, origins=OWN)


def test_only_the_sessions_token_fits() -> None:
    check_token("abc", "abc")
    for given in (None, "", "abd", "ab"):
        with pytest.raises(BadCsrf):
            check_token("abc", given)
