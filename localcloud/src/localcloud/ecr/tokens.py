"""The passwords that GetAuthorizationToken hands out: the caller's own credentials, sealed, for twelve hours. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import asdict, dataclass

#: ECR UG, "Private registry authentication": "valid for 12 hours".
LIFETIME_SECONDS = 12 * 3600.0
USER = "AWS"


class BadToken(Exception):
    """Not a token of this registry."""


class ExpiredToken(BadToken):
    """It was one, more than twelve hours ago."""


@dataclass(frozen=True)
class Holder:
    """Whose token it is: an access key id and, of a role, the session's token."""

    key: str
    session: str | None
    expires: float


class Tokens:
    """Makes and reads tokens; those of another cloud are not valid."""

    def __init__(self) -> None:
        self._seal = secrets.token_bytes(32)

    def issue(self, key: str, session: str | None, now: float) -> tuple[str, float]:
        """A password for `USER`, and when it expires."""
        holder = Holder(key, session, now + LIFETIME_SECONDS)
        content = base64.urlsafe_b64encode(json.dumps(asdict(holder)).encode()).decode()
        return f"{content}.{self._sign(content)}", holder.expires

    def read(self, user: str, password: str, now: float) -> Holder:
        """Whose token it is.

        Raises:
            BadToken: nobody's.
            ExpiredToken: it is too old.
        """
        content, _, signature = password.partition(".")
        if user != USER or not hmac.compare_digest(signature.encode(), self._sign(content).encode()):
            raise BadToken
        holder = Holder(**json.loads(base64.urlsafe_b64decode(content)))
        if holder.expires <= now:
            raise ExpiredToken
        return holder

    def _sign(self, content: str) -> str:
        return hmac.new(self._seal, content.encode(), hashlib.sha256).hexdigest()
