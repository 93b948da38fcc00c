"""Datasets and snapshots for programs."""

import pytest
from rest_framework.test import APIClient

from annotation.models import ApiToken
from exports import previews, snapshots
from exports.models import Dataset

pytestmark = pytest.mark.django_db


@pytest.fixture
def api(cast):
    def as_token(user) -> APIClient:
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {ApiToken.issue(user, 'a script')[1]}")
        return client

    return as_token


NEW = {"name": "Pairs", "kind": "preference", "selection": {"projects": ["support-desk"]}}


def test_make_look_and_freeze(api, cast, pairs) -> None:
    lee = api(cast.lee)
    made = lee.post("/api/workspaces/acme/datasets/", NEW)
    assert made.status_code == 201 and made.json()["slug"] == "pairs"
    assert made.json()["selection"]["pairs"] == "all"
    url = f"/api/datasets/{made.json()['id']}/"
    assert lee.get(url).json() == made.json()
    names = [row["name"] for row in lee.get("/api/workspaces/acme/datasets/").json()["results"]]
    assert names == ["Support pairs", "Pairs"]

    assert lee.get(f"{url}preview/").json()["state"] == "queued"
    previews.compute(made.json()["id"])
    assert lee.get(f"{url}preview/").json()["result"]["dropped"] == {"tie": 60}

    asked = lee.post(f"{url}snapshots/")
    assert asked.status_code == 202 and asked.json()["state"] == "queued"
    snapshots.freeze_queued(asked.json()["id"])
    got = lee.get(f"/api/snapshots/{asked.json()['id']}/").json()
    assert got["state"] == "ready" and len(got["sha256"]) == 64 and "path" not in got
    assert [row["number"] for row in lee.get(f"{url}snapshots/").json()["results"]] == [1]


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"selection": {}}, "projects", "choose at least one"),
        ({"selection": {"projects": ["x"]}}, "projects", "no project x"),
        ({"selection": {"projects": ["support-desk"], "pairs": "x"}}, "pairs", "none of all"),
        ({"selection": [1]}, "selection", "object of rules"),
        ({"kind": "nonsense"}, "kind", "not a valid choice"),
        ({"name": ""}, "name", "blank"),
    ],
)
def test_refusals_are_those_of_the_page(api, cast, change, field: str, words: str) -> None:
    response = api(cast.lee).post("/api/workspaces/acme/datasets/", NEW | change)
    assert response.status_code == 400 and words in str(response.json()[field])
    assert not Dataset.objects.exists()


def test_a_freeze_that_is_refused(api, cast, pairs) -> None:
    Dataset.objects.update(selection={"projects": ["gone"]})
    response = api(cast.lee).post(f"/api/datasets/{pairs.pk}/snapshots/")
    assert response.status_code == 400 and "no longer fit" in str(response.json())


def test_who_may(api, cast, pairs) -> None:
    snapshot = snapshots.freeze_now(dataset=pairs, user=None)
    reads = [
        "/api/workspaces/acme/datasets/",
        f"/api/datasets/{pairs.pk}/",
        f"/api/datasets/{pairs.pk}/preview/",
        f"/api/datasets/{pairs.pk}/snapshots/",
        f"/api/snapshots/{snapshot.pk}/",
    ]
    for url in reads:
        assert APIClient().get(url).status_code == 401
        assert api(cast.otto).get(url).status_code == 404
        assert api(cast.ana).get(url).status_code == 403
        assert api(cast.rui).get(url).status_code == 403
        assert api(cast.lee).get(url).status_code == 200
    assert api(cast.ana).post(reads[0], NEW).status_code == 403
    assert api(cast.otto).post(reads[3]).status_code == 404
