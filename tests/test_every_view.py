"""Every URL of the three apps stands in tests/site_map.py and is asked the same questions."""

from collections.abc import Iterator
from operator import attrgetter

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from tests.site_map import VIEWS, View, make_world

LADDER = {"annotator": "ana", "reviewer": "rui", "lead": "lee", "owner": "olga"}
METHODS = {"get", "post", "put", "patch", "delete"}


def names(resolver: URLResolver, prefix: str = "") -> Iterator[str]:
    for entry in resolver.url_patterns:
        if isinstance(entry, URLPattern):
            yield f"{prefix}{entry.name}"
        elif entry.namespace != "admin":
            space = f"{entry.namespace}:" if entry.namespace else ""
            yield from names(entry, prefix + space)


EVERY = sorted(set(names(get_resolver())))


@pytest.fixture
def world(cast):
    return make_world(cast)


def ask(view: View, world, user=None):
    client = Client()
    if user is not None:
        client.force_login(user)
    url = reverse(view.name, args=[attrgetter(path)(world) for path in view.args])
    if view.method == "get" or view.form or view.who not in ("api", "program"):
        return getattr(client, view.method)(url, dict(view.data))
    return getattr(client, view.method)(url, dict(view.data), content_type="application/json")


def test_each_view_has_a_row_and_each_row_a_view() -> None:
    assert sorted({view.name for view in VIEWS}) == EVERY


def check_anonymous(view: View, world) -> None:
    response = ask(view, world)
    if view.who in ("api", "program"):
        assert response.status_code == 401, "anonymous"
    elif view.who == "open":
        assert response.status_code in view.ok, "anonymous"
    else:
        assert response.status_code == 302, "anonymous"
        assert response.url.startswith(reverse("login")), "anonymous"


@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_who_may(view: View, world) -> None:
    """Nobody first, then a stranger, then each role that is too low, then the least that may."""
    check_anonymous(view, world)
    if view.who in ("page", "api"):
        assert ask(view, world, world.otto).status_code == 404, "stranger"
    roles = list(LADDER)
    for role in roles[: roles.index(view.least)]:
        assert ask(view, world, getattr(world, LADDER[role])).status_code == 403, role
    response = ask(view, world, getattr(world, LADDER[view.least]))
    assert response.status_code in view.ok, f"{view.least}: {response.content[:500]!r}"


@pytest.mark.parametrize("name", sorted({view.name for view in VIEWS}))
def test_the_wrong_method_is_refused(name: str, world) -> None:
    rows = [view for view in VIEWS if view.name == name]
    highest = max(rows, key=lambda view: list(LADDER).index(view.least))
    for method in METHODS - {row.method for row in rows}:
        wrong = View(name, rows[0].args, method=method, who=highest.who)
        response = ask(wrong, world, getattr(world, LADDER[highest.least]))
        assert response.status_code == 405, method
