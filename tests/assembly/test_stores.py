"""Addresses of stores that cannot be read, or lead nowhere, are told without the password in them."""

import pytest

from router.assembly.with_redis import BadAddress, redis_client
from router.errors import PenstockError
from router.keys import Secret
from router.storage.postgres import PostgresStore

PASSWORD = "Qz7WmX2hJpT9"


@pytest.mark.parametrize(
    "url", [f"redis://:{PASSWORD}/1@127.0.0.1:6379/0", f"http://me:{PASSWORD}@127.0.0.1", f"redis://x@[{PASSWORD}"]
)
def test_an_address_that_is_none_of_redis_is_one_sentence_without_its_password(url: str) -> None:
    with pytest.raises(BadAddress, match=r"^The address of Redis cannot be read") as caught:
        redis_client(url)

    assert PASSWORD not in caught.value.message
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    "address",
    [
        f"postgresql://me:{PASSWORD}@127.0.0.1:1/penstock",
        f"postgresql://me:{PASSWORD}/1@127.0.0.1:1/penstock",
        f"host=127.0.0.1 port={PASSWORD} password={PASSWORD}",
        f"host=127.0.0.1 port=1 sslmode={PASSWORD}",
        f"postgresql://me:x@127.0.0.1:1/penstock?{PASSWORD}=1",
        f"{PASSWORD}",
    ],
)
def test_whatever_is_wrong_with_an_address_of_postgresql_its_password_is_not_told(address: str) -> None:
    with pytest.raises(PenstockError) as caught:
        PostgresStore(Secret(address))

    assert "PostgreSQL" in caught.value.message
    assert PASSWORD not in caught.value.message


def test_of_an_address_host_and_database_are_told() -> None:
    with pytest.raises(PenstockError, match=r"^The PostgreSQL database penstock at 127\.0\.0\.1 cannot be used: "):
        PostgresStore(Secret(f"postgresql://me:{PASSWORD}@127.0.0.1:1/penstock"))
