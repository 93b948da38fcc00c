"""What people say of a frozen version: tags, a note, and that somebody stands for it. The only
writer of `tags`, `note`, `signed_by` and `signed`. Nothing of it stands in the version's files."""

from collections.abc import Iterable

from django.utils import timezone

from annotation.errors import Refused
from annotation.models import Role, User
from exports.models import Snapshot

TAGS, TAG = 10, 40  # how many, and how long each
NOTE = 20_000


def read_tags(text: str | Iterable[str]) -> list[str]:
    """Tags as typed, with commas between, or as a list; each once. Raises Refused, naming what is
    wrong."""
    typed = text.split(",") if isinstance(text, str) else list(text)
    tags = list(dict.fromkeys(" ".join(str(tag).split()) for tag in typed))
    tags = [tag for tag in tags if tag]
    if len(tags) > TAGS:
        raise Refused(f"{len(tags)} tags are too many: {TAGS} at most.")
    for tag in tags:
        if len(tag) > TAG:
            raise Refused(f"The tag “{tag[:TAG]}…” is too long: {TAG} characters at most.")
        if "\0" in tag or "," in tag:
            raise Refused("A tag holds no comma and no NUL character (U+0000).")
    return tags


def describe(*, snapshot: Snapshot, tags: list[str], note: str) -> None:
    """Set tags and note. Raises Refused for a note that is too long."""
    tags = read_tags(tags)
    note = note.replace("\r\n", "\n").strip()
    if len(note) > NOTE:
        raise Refused(f"The note has {len(note):,} characters: {NOTE:,} at most.")
    if "\0" in note:
        raise Refused("The note holds a NUL character (U+0000), which no database stores.")
    Snapshot.objects.filter(pk=snapshot.pk).update(tags=tags, note=note)
    snapshot.tags, snapshot.note = tags, note


def sign(*, snapshot: Snapshot, user: User) -> None:
    """The user stands for this version. Raises Refused where it is not ready, or signed already."""
    ready = Snapshot.objects.filter(pk=snapshot.pk, state=Snapshot.State.READY)
    if not ready.filter(signed__isnull=True).update(signed_by=user, signed=timezone.now()):
        snapshot.refresh_from_db()
        if snapshot.state != Snapshot.State.READY:
            raise Refused(f"{snapshot} is {snapshot.state}: only a ready version is signed off.")
        raise Refused(f"{snapshot} is signed off already, by {snapshot.signed_by or 'somebody'}.")
    snapshot.refresh_from_db()


def unsign(*, snapshot: Snapshot, user: User, role: Role) -> None:
    """Take it back. Raises Refused for any but the one who signed, and an owner."""
    mine = Snapshot.objects.filter(pk=snapshot.pk, signed__isnull=False)
    if role < Role.OWNER:
        mine = mine.filter(signed_by=user)
    if not mine.update(signed_by=None, signed=None):
        snapshot.refresh_from_db()
        if snapshot.signed is None:
            raise Refused(f"{snapshot} is not signed off.")
        who = snapshot.signed_by or "somebody who is gone"
        raise Refused(f"{who} signed {snapshot} off: they, or an owner, take it back.")
    snapshot.refresh_from_db()


def in_force(snapshot: Snapshot) -> bool:
    """Signed off, and not withdrawn since."""
    return snapshot.signed is not None and snapshot.state == Snapshot.State.READY
