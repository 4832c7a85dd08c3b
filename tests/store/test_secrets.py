"""No password stays in a URL that anything could print."""

from __future__ import annotations

import logging

import pytest

from lookalike.errors import LookalikeError, UsageError
from lookalike.store import locate, open_store
from lookalike.store.secrets import hide_secrets, secrets_of


@pytest.mark.parametrize(
    ("given", "clean", "secrets"),
    [
        ("postgresql://me:s3%2Fcret@db/x", "postgresql://me@db/x", {"password": "s3/cret"}),
        ("postgresql://me:@db/x", "postgresql://me@db/x", {"password": ""}),
        ("postgresql://me@db:5432/x", "postgresql://me@db:5432/x", {}),
        ("postgresql://db:5432/x?user=a@b", "postgresql://db:5432/x?user=a@b", {}),
        ("postgresql://db1:5432,db2:5432/x", "postgresql://db1:5432,db2:5432/x", {}),
        ("postgresql:///x?host=/tmp", "postgresql:///x?host=/tmp", {}),
        (
            "postgresql://me@db/x?password=s3cret&sslmode=require",
            "postgresql://me@db/x?sslmode=require",
            {"password": "s3cret"},
        ),
        ("postgresql://me:s3@cret@db/x", "postgresql://me@db/x", {"password": "s3@cret"}),
        ("memory:me", "memory:me", {}),
    ],
)
def test_a_url_loses_its_passwords_and_they_are_remembered(given: str, clean: str, secrets: dict[str, str]) -> None:
    assert hide_secrets(given) == clean
    assert locate(given) == clean
    assert secrets_of(clean) == secrets


def test_a_password_that_ends_the_host_early_is_refused_without_being_printed() -> None:
    with pytest.raises(UsageError) as error:
        hide_secrets("postgresql://me:s3/cret@db/x")
    assert "cret" not in f"{error.value}{error.value.hint}"


@pytest.mark.parametrize(
    "location",
    [
        "postgresql://me:s3cret@127.0.0.1:1/x",
        "postgresql://me:s3cret@127.0.0.1:1/x?nonsense=1",
        "postgresql://me@127.0.0.1:1/x?password=s3cret&sslmode=odd",
        "postgresql://me:s3cret@127.0.0.1:99999/x",
        "mysql://me:s3cret@db/x",
    ],
)
def test_no_error_and_no_log_shows_a_password(location: str, caplog: pytest.LogCaptureFixture) -> None:
    if not location.startswith("mysql"):
        pytest.importorskip("psycopg")
    with caplog.at_level(logging.DEBUG), pytest.raises(LookalikeError) as error:
        open_store(location)
    assert "s3cret" not in f"{error.value}{error.value.hint}{caplog.text}"
