"""Who is behind a session: read at every request, so by a statement that is put together once."""

from typing import Any

from django.contrib.auth.backends import ModelBackend

from annotation import rows
from annotation.models import User


class Backend(ModelBackend):
    """Django's own, with a quicker look at the person's row."""

    def get_user(self, user_id: Any) -> User | None:
        sql = "SELECT {u} FROM annotation_user u WHERE u.id = %(pk)s"
        found = rows.read(sql, {"pk": user_id}, u=User)
        user = found[0][0] if found else None
        return user if user is not None and self.user_can_authenticate(user) else None
