"""Where PostgreSQL and Redis are. In CI a missing one is a failure, elsewhere these tests skip."""

import os

import psycopg
import pytest
import redis

POSTGRES = os.environ.get("ANNOTUNE_TEST_POSTGRES", "postgres://postgres@127.0.0.1:5432/postgres")
REDIS = os.environ.get("ANNOTUNE_TEST_REDIS", "redis://127.0.0.1:6379/9")


def absent(what: str, error: Exception) -> None:
    text = f"{what} is not reachable: {error}"
    if os.environ.get("CI"):
        pytest.fail(text)
    pytest.skip(text)


@pytest.fixture(scope="session")
def postgres_url() -> str:
    try:
        psycopg.connect(POSTGRES, connect_timeout=3).close()
    except psycopg.Error as error:
        absent("PostgreSQL", error)
    return POSTGRES


@pytest.fixture(scope="session")
def redis_url() -> str:
    try:
        with redis.Redis.from_url(REDIS) as client:
            client.ping()
            client.flushdb()
    except redis.RedisError as error:
        absent("Redis", error)
    return REDIS
