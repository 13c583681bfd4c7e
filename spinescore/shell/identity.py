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
MODE_KEY, FINGERPRINT_KEY, WIDTH_KEY = "identifiers", "key_fingerprint", "id_width"


def identifier_text(patient_id: str, issuer: str | None, id_width: int | None = None) -> str:
    """Return the identifier as it is compared: trimmed at both ends, case kept, issuer in front.

    Leading zeros stay; with ``id_width``, an identifier of digits only gets them up to that length.

    >>> identifier_text(" 007 ", None), identifier_text("7", None, 3), identifier_text("A7", None, 3)
    ('007', '007', 'A7')
    """
    text = patient_id.strip()
    if id_width is not None and text.isascii() and text.isdigit():
        text = text.zfill(id_width)
    return f"{issuer.strip()}\\{text}" if issuer else text


@dataclass(frozen=True, slots=True)
class Pseudonymiser:
    """From patient id and issuer to subject id: HMAC-SHA256 under ``key``, or verbatim without one."""

    key: bytes | None = field(repr=False)
    id_width: int | None = None

    def __call__(self, patient_id: str, issuer: str | None) -> str:
        """Return the subject id of a patient id."""
        identifier = identifier_text(patient_id, issuer, self.id_width)
        if self.key is None:
            return identifier
        digest = hmac.digest(self.key, identifier.encode("utf-8", "surrogateescape"), "sha256")
        return digest.hex()[:PSEUDONYM_LENGTH]


def pseudonymiser(
    warehouse: Warehouse, *, keep_identifiers: bool | None = None, id_width: int | None = None
) -> Pseudonymiser:
    """Return the database's way from patient id to subject id, fixing it on first use.

    Parameters
    ----------
    warehouse : Warehouse
        The database, which remembers mode, key fingerprint and length of ids.
    keep_identifiers : bool, optional
        Store ids verbatim (True) or as pseudonyms (False); None takes the database's own mode.
    id_width : int, optional
        Ids of digits only get leading zeros to this length; None takes the database's own rule.

    Raises
    ------
    DatabaseError
        If the database was made in the other mode, under another key, or with another length of ids.
    """
    mode = warehouse.meta(MODE_KEY)
    wanted = mode if keep_identifiers is None else ("verbatim" if keep_identifiers else "pseudonyms")
    if mode is None:
        wanted = wanted or "pseudonyms"
        warehouse.set_meta(MODE_KEY, wanted)
        if id_width is not None:
            warehouse.set_meta(WIDTH_KEY, str(id_width))
    elif wanted != mode:
        raise DatabaseError(
            f"{warehouse.path} holds {mode}; it cannot also hold {wanted}.", "Use another database file."
        )
    return Pseudonymiser(None if wanted == "verbatim" else _key(warehouse), _width(warehouse, id_width))


def _width(warehouse: Warehouse, wanted: int | None) -> int | None:
    """Return the database's length of ids; another one would part a subject from its own images."""
    recorded = warehouse.meta(WIDTH_KEY)
    if wanted is not None and str(wanted) != recorded:
        own = "keeps ids as they are (no id_width)" if recorded is None else f"has id_width = {recorded}"
        raise DatabaseError(
            f"{warehouse.path} {own}; id_width = {wanted} is asked for.",
            "The rule is fixed when a database is made: drop `id_width` here, or ingest into a new one.",
        )
    return None if recorded is None else int(recorded)


def key_file() -> Path:
    """Return where the key of pseudonyms lies: outside every database, in SPINESCORE_HOME."""
    return home() / "pseudonym.key"


def _key(warehouse: Warehouse) -> bytes:
    path = key_file()
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
