"""The doors: by e-mail in any case, out again, and back in when the password is forgotten."""

import re
from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.core import mail
from django.urls import reverse
from django.utils import timezone

PASSWORD = "a long password"


def log_in(client, email, password=PASSWORD, **rest):
    return client.post(reverse("login"), {"username": email, "password": password, **rest})


@pytest.mark.parametrize("email", ["ana@example.org", " ANA@Example.ORG "])
def test_the_address_is_the_login_in_any_case(client, cast, email):
    response = log_in(client, email)
    assert response.status_code == 302
    assert response.url == reverse("annotation:home")
    assert client.get(response.url).status_code == 200


def test_a_wrong_password_is_said_and_the_address_is_kept(client, cast):
    response = log_in(client, "ana@example.org", "something else")
    page = response.content.decode()
    assert response.status_code == 200
    assert "do not belong together" in page
    assert 'value="ana@example.org"' in page


def test_next_leads_to_our_own_pages_only(client, cast):
    account = reverse("annotation:account")
    assert log_in(client, "ana@example.org", next=account).url == account
    client.logout()
    response = log_in(client, "ana@example.org", next="https://evil.example/x")
    assert response.url == reverse("annotation:home")


def test_too_many_tries_close_the_door(client, cast, settings):
    settings.AXES_ENABLED = True
    settings.AXES_FAILURE_LIMIT = 3
    for email in ["ana@example.org", "ANA@example.org", "Ana@example.org"]:
        response = log_in(client, email, "wrong")
    assert response.status_code == 429
    assert "Too many tries" in response.content.decode()
    assert log_in(client, "ana@example.org").status_code == 429
    assert log_in(client, "bea@example.org").status_code == 302


def test_log_out(as_user, cast):
    client = as_user(cast.ana)
    assert client.post(reverse("logout")).status_code == 302
    assert client.get(reverse("annotation:home")).status_code == 302


def test_a_forgotten_password_is_set_anew_by_a_link_once(client, cast):
    client.post(reverse("password_reset"), {"email": "Ana@example.org"})
    path = re.search(r"/password/reset/\S+", mail.outbox[0].body).group()
    form = client.get(path, follow=True)
    there = form.redirect_chain[-1][0]
    new = {"new_password1": "a better password", "new_password2": "a better password"}
    assert client.post(there, new).status_code == 302
    assert log_in(client, "ana@example.org", "a better password").status_code == 302
    client.logout()
    assert "does not work any more" in client.get(path, follow=True).content.decode()


def test_an_unknown_address_gets_the_same_answer_and_no_mail(client, cast):
    response = client.post(reverse("password_reset"), {"email": "nobody@example.org"})
    assert response.url == reverse("password_reset_done")
    assert mail.outbox == []


def test_the_password_is_changed(as_user, cast):
    client = as_user(cast.ana)
    data = {"old_password": PASSWORD, "new_password1": "short", "new_password2": "short"}
    assert "at least 10" in client.post(reverse("password_change"), data).content.decode()
    data |= {"new_password1": "a better password", "new_password2": "a better password"}
    assert client.post(reverse("password_change"), data).url == reverse("password_change_done")
    cast.ana.refresh_from_db()
    assert cast.ana.check_password("a better password")


def test_who_logs_out_is_out_of_every_web_process(client, cast) -> None:
    """No process keeps a session of its own: what one has deleted is gone for the others."""
    client.force_login(cast.ana)
    assert client.get("/").status_code == 200
    Session.objects.all().delete()  # as another process does
    assert client.get("/").status_code == 302


def test_a_session_ends_with_its_time(client, cast) -> None:
    client.force_login(cast.ana)
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
    assert client.get("/").status_code == 302
