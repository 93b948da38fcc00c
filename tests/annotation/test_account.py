"""One's own name and tokens."""

import re

from django.urls import reverse

from annotation.models import ApiToken

ACCOUNT = reverse("annotation:account")
ISSUE = reverse("annotation:token_issue")


def test_the_name_is_changed(as_user, cast):
    client = as_user(cast.ana)
    assert client.post(ACCOUNT, {"name": "Ana Lima"}).url == ACCOUNT
    cast.ana.refresh_from_db()
    assert cast.ana.name == "Ana Lima"
    assert client.post(ACCOUNT, {"name": "x" * 101}).status_code == 400


def test_a_token_is_shown_once_works_and_is_revoked(as_user, client, cast):
    page = as_user(cast.ana).post(ISSUE, {"name": "script"}).content.decode()
    secret = re.search(r'value="(ant_[^"]+)"', page).group(1)
    token = ApiToken.objects.get()
    later = as_user(cast.ana).get(ACCOUNT).content.decode()
    assert secret not in later and token.prefix in later
    assert secret not in str(ApiToken.objects.values())
    client.logout()
    url, header = reverse("api-projects"), {"Authorization": f"Bearer {secret}"}
    assert client.get(url, headers=header).status_code == 200
    as_user(cast.ana).post(reverse("annotation:token_revoke", args=[token.pk]))
    client.logout()
    assert client.get(url, headers=header).status_code == 401


def test_a_token_needs_a_name(as_user, cast):
    response = as_user(cast.ana).post(ISSUE, {"name": " "})
    assert response.status_code == 400
    assert "required" in response.content.decode()


def test_the_token_of_another_is_not_there(as_user, cast):
    token, _ = ApiToken.issue(cast.olga, "script")
    url = reverse("annotation:token_revoke", args=[token.pk])
    assert as_user(cast.ana).post(url).status_code == 404
    token.refresh_from_db()
    assert token.revoked is None
