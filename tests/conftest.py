"""The cast: Ana annotates, Rui reviews, Lee leads, Olga owns, Otto is a stranger."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.core.cache import cache
from hypothesis import HealthCheck, settings

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# No test fails because the machine is busy.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

SAMPLE_DATA = os.environ.get("ANNOTUNE_SAMPLE_DATA", "")


@pytest.fixture(autouse=True)
def home(settings, tmp_path: Path) -> Iterator[Path]:
    """Every test has a home of its own, a weak hasher and no worker."""
    settings.HOME = tmp_path
    settings.MEDIA_ROOT = tmp_path / "uploads"
    settings.SNAPSHOT_ROOT = tmp_path / "snapshots"
    settings.LOOK_ROOT = tmp_path / "looks"
    settings.BENCHMARK_ROOT = tmp_path / "benchmarks"
    settings.RUN_ROOT = tmp_path / "runs"
    settings.MODEL_ROOT = tmp_path / "models"
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.CELERY_BROKER_URL = "memory://"
    settings.AXES_ENABLED = False
    cache.clear()
    yield tmp_path


@pytest.fixture
def sample_data() -> Path:
    """The folder of real public rows. Tests that use it are not collected without it."""
    return Path(SAMPLE_DATA)


def pytest_collection_modifyitems(config, items: list[pytest.Item]) -> None:
    if not SAMPLE_DATA:
        gone = [item for item in items if "sample_data" in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=gone)
        items[:] = [item for item in items if item not in gone]


@pytest.fixture
def cast(db) -> SimpleNamespace:
    """ana, bea (a second annotator), rui, lee, olga in workspace `acme`; otto owns another one."""
    from annotation.models import Membership, Project, Role, User, Workspace

    acme = Workspace.objects.create(name="Acme", slug="acme", salt="annotune:acme")
    other = Workspace.objects.create(name="Other", slug="other", salt="annotune:other")
    people = SimpleNamespace(acme=acme, other=other)
    for name, role in [
        ("ana", Role.ANNOTATOR),
        ("bea", Role.ANNOTATOR),
        ("rui", Role.REVIEWER),
        ("lee", Role.LEAD),
        ("olga", Role.OWNER),
    ]:
        user = User.objects.create_user(f"{name}@example.org", name.title(), "a long password")
        Membership.objects.create(workspace=acme, user=user, role=role)
        setattr(people, name, user)
    people.otto = User.objects.create_user("otto@example.org", "Otto", "a long password")
    Membership.objects.create(workspace=other, user=people.otto, role=Role.OWNER)
    people.project = Project.objects.create(
        workspace=acme, name="Support desk", slug="support-desk"
    )
    return people


@pytest.fixture
def as_user(client, cast) -> Callable:
    """`as_user(cast.ana)`: the test client, logged in as that person."""

    def login(user):
        client.force_login(user)
        return client

    return login


@pytest.fixture
def check_roles(cast) -> Callable:
    """The catechism of a page: stranger 404, too low a role 403, the others in.

    `check_roles(url, at_least="lead", method="get")`."""
    from django.test import Client

    ladder = ["ana", "rui", "lee", "olga"]
    roles = {"annotator": 0, "reviewer": 1, "lead": 2, "owner": 3}

    def check(url: str, at_least: str, method: str = "get", ok=(200, 302), data=None) -> None:
        client = Client()
        anonymous = getattr(client, method)(url, data or {})
        assert anonymous.status_code in (302, 401, 403), f"anonymous: {anonymous.status_code}"
        client.force_login(cast.otto)
        assert getattr(client, method)(url, data or {}).status_code == 404, "stranger"
        for place, name in enumerate(ladder):
            client.force_login(getattr(cast, name))
            if place < roles[at_least]:
                assert getattr(client, method)(url, data or {}).status_code == 403, name
            elif method == "get":
                assert client.get(url).status_code in ok, name

    return check
