"""The pseudonym key: HMAC-SHA256 of patient identifiers, under a key outside the database."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from spinescore.errors import DatabaseError
from spinescore.shell.resources import home
from spinescore.shell.warehouse import Warehouse

PSEUDONYM_LENGTH = 32
MODE_KEY, FINGERPRINT_KEY = "identifiers", "key_fingerprint"


def identifier_text(patient_id: str, issuer: str | None) -> str:
    """Return the identifier as it is compared: trimmed, leading zeros kept, issuer in front.

    >>> identifier_text(" 007 ", None)
    '007'
    """
    return f"{issuer.strip()}\\{patient_id.strip()}" if issuer else patient_id.strip()


@dataclass(frozen=True, slots=True)
class Pseudonymiser:
    """From patient id and issuer to subject id: HMAC-SHA256 under ``key``, or verbatim without one."""

    key: bytes | None = field(repr=False)

    def __call__(self, patient_id: str, issuer: str | None) -> str:
        """Return the subject id of a patient id."""
        identifier = identifier_text(patient_id, issuer)
        if self.key is None:
            return identifier
        digest = hmac.new(self.key, identifier.encode("utf-8", "surrogateescape"), hashlib.sha256)
        return digest.hexdigest()[:PSEUDONYM_LENGTH]


def pseudonymiser(warehouse: Warehouse, *, keep_identifiers: bool | None = None) -> Pseudonymiser:
    """Return the database's way from patient id to subject id, fixing it on first use.

    Parameters
    ----------
    warehouse : Warehouse
        The database, which remembers mode and key fingerprint.
    keep_identifiers : bool, optional
        Store ids verbatim (True) or as pseudonyms (False); None takes the database's own mode.

    Raises
    ------
    DatabaseError
        If the database was made in the other mode or under another key.
    """
    mode = warehouse.meta(MODE_KEY)
    wanted = mode if keep_identifiers is None else ("verbatim" if keep_identifiers else "pseudonyms")
    if mode is None:
        wanted = wanted or "pseudonyms"
        warehouse.set_meta(MODE_KEY, wanted)
    elif wanted != mode:
        raise DatabaseError(
            f"{warehouse.path} holds {mode}; it cannot also hold {wanted}.", "Use another database file."
        )
    return Pseudonymiser(None if wanted == "verbatim" else _key(warehouse))


def _key(warehouse: Warehouse) -> bytes:
    path = home() / "pseudonym.key"
    recorded = warehouse.meta(FINGERPRINT_KEY)
    if not path.exists():
        if recorded is not None:
            raise DatabaseError(
                f"{warehouse.path} was made under the pseudonym key {recorded}, and {path} is not there.",
                "Put that key back (set SPINESCORE_HOME to its folder); a new key would never match.",
            )
        _write_key(path)
    key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    fingerprint = hashlib.sha256(key).hexdigest()[:16]
    if recorded is None:
        warehouse.set_meta(FINGERPRINT_KEY, fingerprint)
    elif recorded != fingerprint:
        raise DatabaseError(
            f"{warehouse.path} was made under the pseudonym key {recorded}, {path} is {fingerprint}.",
            "Set SPINESCORE_HOME to the folder of the key it was made under.",
        )
    return key


def _write_key(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as handle:
        handle.write(secrets.token_hex(32))
