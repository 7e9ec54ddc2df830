"""Secrets of peers at rest: encrypted with a key that is derived from SECRET_KEY.

An HMAC needs the secret itself, so a hash of it would not do. With another SECRET_KEY, that is not among
SECRET_KEY_FALLBACKS, they cannot be read any more and are entered again.
"""

import base64
import secrets

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

SECRET_BYTES = 32
PURPOSE = b"secrets of replication peers"


class Unreadable(Exception):
    """the secret was encrypted with another SECRET_KEY"""


def new_secret() -> str:
    """A random secret, 64 hex digits: neither a shell nor a URL nor an option needs an escape for it."""
    return secrets.token_hex(SECRET_BYTES)


def seal(secret: str) -> str:
    """The secret, encrypted; "" for none."""
    return _box().encrypt(secret.encode()).decode() if secret else ""


def unseal(sealed: str) -> str:
    """The secret of `seal`. Raises Unreadable."""
    if not sealed:
        return ""
    try:
        return _box().decrypt(sealed.encode()).decode()
    except InvalidToken:
        raise Unreadable from None


def _box() -> MultiFernet:
    keys = (settings.SECRET_KEY, *map(str, settings.SECRET_KEY_FALLBACKS))
    return MultiFernet([Fernet(_derived(key)) for key in keys])


def _derived(key: str) -> bytes:
    derive = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=PURPOSE)
    return base64.urlsafe_b64encode(derive.derive(key.encode()))
