"""Who comes in, by which link, and who may change what about whom."""

import re
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone

from annotation import people
from annotation.errors import Refused
from annotation.models import Invitation, Membership, Role, User, Workspace
from annotation.people import SHELL, Actor


def member(user) -> Membership:
    return Membership.objects.get(user=user)


def invite(cast, email="new@example.org", role=Role.ANNOTATOR) -> tuple[Invitation, str]:
    return people.invite(workspace=cast.acme, email=email, role=role, by=SHELL)


# Workspaces -------------------------------------------------------------------------------------


def test_a_workspace_gets_an_owner_and_a_slug_of_its_own(cast):
    one = people.create_workspace(name="Support desk", owner=cast.ana)
    two = people.create_workspace(name="Support desk", owner=cast.ana)
    assert (one.slug, two.slug) == ("support-desk", "support-desk-2")
    assert one.memberships.get().role == Role.OWNER
    assert one.salt == "annotune:support-desk"
    with pytest.raises(Refused, match="taken"):
        people.create_workspace(name="Another", owner=cast.ana, slug="acme")


def test_a_workspace_is_made_on_its_page(as_user, cast):
    client = as_user(cast.otto)
    url = reverse("annotation:workspace_new")
    assert "taken" in client.post(url, {"name": "X", "slug": "acme"}).content.decode()
    response = client.post(url, {"name": "Ünï & Söhne"})
    made = Workspace.objects.get(name="Ünï & Söhne")
    assert response.url == reverse("annotation:workspace", args=[made.slug])
    assert client.get(response.url).status_code == 200


# Invitations ------------------------------------------------------------------------------------


def test_a_new_person_comes_in_by_the_link_once(client, as_user, cast):
    page = as_user(cast.lee).post(
        reverse("annotation:invite", args=["acme"]),
        {"email": "New@Example.org", "role": Role.REVIEWER},
    )
    path = re.search(r"http://testserver(/join/[^\"]+)", page.content.decode()).group(1)
    assert (
        path
        not in as_user(cast.lee).get(reverse("annotation:people", args=["acme"])).content.decode()
    )
    client.logout()
    assert "Join Acme" in client.get(path).content.decode()
    wrong = client.post(path, {"name": "Neo", "password": "short"})
    assert "at least 10" in wrong.content.decode()
    response = client.post(path, {"name": "Neo Smith", "password": "a good password"})
    assert response.url == reverse("annotation:home")
    assert client.get(response.url).status_code == 200
    neo = User.objects.get(email="new@example.org")
    assert (member(neo).role, neo.name) == (Role.REVIEWER, "Neo Smith")
    client.logout()
    again = client.get(path)
    assert again.status_code == 410
    assert "has been used" in again.content.decode()


def test_the_secret_is_not_kept(cast):
    invitation, path = invite(cast)
    secret = path.strip("/").rpartition("/")[2]
    assert secret not in str(Invitation.objects.filter(pk=invitation.pk).values())


def test_an_account_that_is_there_logs_in_and_joins(client, cast):
    _, path = invite(cast, email="otto@example.org", role=Role.LEAD)
    page = client.get(path).content.decode()
    assert f"{reverse('login')}?next={path}" in page
    assert client.post(path, {"name": "X", "password": "a good password"}).status_code == 200
    assert not Membership.objects.filter(user=cast.otto, workspace=cast.acme).exists()
    login = {"username": "otto@example.org", "password": "a long password", "next": path}
    assert client.post(reverse("login"), login).url == path
    assert client.post(path).url == reverse("annotation:home")
    assert Membership.objects.get(user=cast.otto, workspace=cast.acme).role == Role.LEAD


def test_somebody_else_cannot_use_it(as_user, cast):
    invitation, path = invite(cast, email="otto@example.org")
    client = as_user(cast.ana)
    assert "logged in as ana@example.org" in client.post(path).content.decode()
    invitation.refresh_from_db()
    assert invitation.is_open
    with pytest.raises(Refused, match="otto@example.org"):
        people.accept(invitation=invitation, user=cast.ana)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"expires": timezone.now() - timedelta(seconds=1)}, "expired"),
        ({"revoked": timezone.now()}, "withdrawn"),
        ({"accepted": timezone.now()}, "has been used"),
    ],
)
def test_a_closed_link_says_why(client, cast, change, words):
    invitation, path = invite(cast)
    Invitation.objects.filter(pk=invitation.pk).update(**change)
    response = client.post(path, {"name": "Neo", "password": "a good password"})
    assert response.status_code == 410
    assert words in response.content.decode()
    assert not User.objects.filter(email="new@example.org").exists()


def test_of_two_that_accept_at_once_one_gets_in(cast):
    invitation, _ = invite(cast)
    people.accept_as_new(invitation=invitation, name="Neo", password="a good password")
    with pytest.raises(Refused, match="has been used"):
        people.accept_as_new(invitation=invitation, name="Trinity", password="a good password")
    assert User.objects.get(email="new@example.org").name == "Neo"


def test_a_wrong_secret_opens_nothing(client, cast):
    assert client.get(reverse("annotation:invitation", args=["guess"])).status_code == 404


def test_a_second_link_for_one_address_closes_the_first(cast):
    first, _ = invite(cast)
    second, _ = invite(cast, role=Role.LEAD)
    first.refresh_from_db()
    assert not first.is_open and second.is_open
    with pytest.raises(Refused, match="member already"):
        invite(cast, email="ANA@example.org")


@pytest.mark.parametrize("role", [Role.LEAD, Role.OWNER])
def test_a_lead_does_not_invite_leads(as_user, cast, role):
    url = reverse("annotation:invite", args=["acme"])
    response = as_user(cast.lee).post(url, {"email": "new@example.org", "role": role})
    assert response.status_code == 400
    assert not Invitation.objects.exists()
    with pytest.raises(Refused, match="Only an owner"):
        people.invite(
            workspace=cast.acme, email="n@example.org", role=role, by=Actor(cast.lee, Role.LEAD)
        )
    response = as_user(cast.olga).post(url, {"email": "new@example.org", "role": role})
    assert response.status_code == 200
    assert Invitation.objects.get().role == role


def test_a_link_is_withdrawn(as_user, cast):
    invitation, path = invite(cast, role=Role.OWNER)
    url = reverse("annotation:invitation_revoke", args=[invitation.pk])
    assert "Only an owner" in as_user(cast.lee).post(url, follow=True).content.decode()
    as_user(cast.olga).post(url)
    assert as_user(cast.otto).get(path).status_code == 410


# Roles ------------------------------------------------------------------------------------------


def test_an_owner_changes_a_role(as_user, cast):
    url = reverse("annotation:member_role", args=[member(cast.ana).pk])
    as_user(cast.olga).post(url, {"role": Role.LEAD})
    assert member(cast.ana).role == Role.LEAD
    as_user(cast.olga).post(url, {"role": "9"})
    assert member(cast.ana).role == Role.LEAD


def test_a_lead_manages_annotators_and_reviewers_only(as_user, cast):
    client = as_user(cast.lee)
    client.post(
        reverse("annotation:member_role", args=[member(cast.ana).pk]), {"role": Role.REVIEWER}
    )
    assert member(cast.ana).role == Role.REVIEWER
    for target, role in [(cast.ana, Role.LEAD), (cast.olga, Role.LEAD), (cast.lee, Role.OWNER)]:
        url = reverse("annotation:member_role", args=[member(target).pk])
        page = client.post(url, {"role": role}, follow=True).content.decode()
        assert "Only owners" in page
    assert member(cast.olga).role == Role.OWNER
    assert member(cast.lee).role == Role.LEAD


def test_the_last_owner_stays(as_user, cast):
    client, mine = as_user(cast.olga), member(cast.olga)
    for name, data in [("member_role", {"role": Role.LEAD}), ("member_deactivate", {})]:
        url = reverse(f"annotation:{name}", args=[mine.pk])
        assert "last owner" in client.post(url, data, follow=True).content.decode()
    owner = Actor(cast.olga, Role.OWNER)
    people.change_role(membership=member(cast.lee), role=Role.OWNER, by=owner)
    people.deactivate(membership=mine, by=owner)
    with pytest.raises(Refused, match="last owner"):
        people.deactivate(membership=member(cast.lee), by=owner)


def test_an_inactive_owner_does_not_count(cast):
    people.change_role(membership=member(cast.lee), role=Role.OWNER, by=SHELL)
    User.objects.filter(pk=cast.lee.pk).update(is_active=False)
    with pytest.raises(Refused, match="last owner"):
        people.deactivate(membership=member(cast.olga), by=SHELL)


def test_a_deactivated_member_is_a_stranger_until_brought_back(as_user, client, cast):
    url = reverse("annotation:workspace", args=["acme"])
    pk = member(cast.ana).pk
    as_user(cast.lee).post(reverse("annotation:member_deactivate", args=[pk]))
    assert as_user(cast.ana).get(url).status_code == 404
    as_user(cast.lee).post(reverse("annotation:member_reactivate", args=[pk]))
    assert as_user(cast.ana).get(url).status_code == 200


# Password links ---------------------------------------------------------------------------------


def test_an_owner_makes_a_link_that_sets_a_password_once(as_user, client, cast):
    response = as_user(cast.olga).post(
        reverse("annotation:member_reset", args=[member(cast.ana).pk])
    )
    path = re.search(r"http://testserver(/password/reset/[^\"]+)", response.content.decode()).group(
        1
    )
    client.logout()
    there = client.get(path, follow=True).redirect_chain[-1][0]
    new = {"new_password1": "a better password", "new_password2": "a better password"}
    client.post(there, new)
    cast.ana.refresh_from_db()
    assert cast.ana.check_password("a better password")
    assert "does not work any more" in client.get(path, follow=True).content.decode()


def test_no_link_for_somebody_who_belongs_elsewhere_too(as_user, cast):
    """The link would open the other workspace as well."""
    people.add_member(workspace=cast.acme, user=cast.otto, role=Role.ANNOTATOR)
    mine = Membership.objects.get(workspace=cast.acme, user=cast.otto)
    url = reverse("annotation:member_reset", args=[mine.pk])
    page = as_user(cast.olga).post(url, follow=True).content.decode()
    assert "other workspaces" in page
    assert "/password/reset/" not in page


# The shell --------------------------------------------------------------------------------------


def test_the_command_prints_a_link_that_works(client, cast, capsys, settings):
    settings.BASE_URL = "https://annotune.example/"
    call_command("invite", "new@example.org", role="lead", workspace="acme")
    link = capsys.readouterr().out.strip()
    assert link.startswith("https://annotune.example/join/")
    path = link.removeprefix("https://annotune.example")
    client.post(path, {"name": "Neo", "password": "a good password"})
    assert member(User.objects.get(email="new@example.org")).role == Role.LEAD


@pytest.mark.parametrize(
    ("email", "workspace", "words"),
    [
        ("new@example.org", None, "acme, other"),
        ("new@example.org", "nowhere", "nowhere"),
        ("ana@example.org", "acme", "member already"),
        ("no address", "acme", "no e-mail address"),
    ],
)
def test_the_command_says_what_is_wrong(cast, email, workspace, words):
    with pytest.raises(CommandError, match=words):
        call_command("invite", email, role="lead", workspace=workspace)


def test_a_lead_brings_no_owner_back_by_inviting_them(cast) -> None:
    """Reactivating one is an owner's act; an invitation gives the role that it names."""
    member = Membership.objects.create(
        workspace=cast.acme, user=cast.otto, role=Role.OWNER, is_active=False
    )
    lead = people.Actor(user=cast.lee, role=Role.LEAD)
    invitation, _ = people.invite(
        workspace=cast.acme, email=cast.otto.email, role=Role.ANNOTATOR, by=lead
    )
    people.accept(invitation=invitation, user=cast.otto)
    member.refresh_from_db()
    assert (member.is_active, member.role) == (True, Role.ANNOTATOR)
