"""Identifiers are compared by rules fixed when a database is made."""

from __future__ import annotations

import hashlib
import hmac
import pickle
from pathlib import Path

import pytest

from spinescore.errors import DatabaseError
from spinescore.shell.identity import Pseudonymiser, identifier_text, pseudonymiser
from spinescore.shell.warehouse import open_warehouse


@pytest.mark.parametrize(
    ("patient_id", "issuer", "width", "text"),
    [
        (" 007 ", None, None, "007"),
        ("7", None, 3, "007"),
        ("0007", None, 3, "0007"),
        ("A7", None, 3, "A7"),
        ("7", " H1 ", 3, "H1\\007"),
        ("aB", None, None, "aB"),
        ("7 8", None, 4, "7 8"),
    ],
)
def test_ids_are_trimmed_padded_where_said_and_otherwise_kept(
    patient_id: str, issuer: str | None, width: int | None, text: str
) -> None:
    assert identifier_text(patient_id, issuer, width) == text


def test_a_pseudonym_is_the_hmac_of_the_identifier_and_survives_pickling() -> None:
    key = b"k" * 32
    identify = pickle.loads(pickle.dumps(Pseudonymiser(key, 4)))
    assert identify("7", "H") == hmac.new(key, b"H\\0007", hashlib.sha256).hexdigest()[:32]
    assert "kkkk" not in repr(identify)


def test_the_length_of_ids_is_fixed_with_the_database(database: Path) -> None:
    with open_warehouse(database, create=True) as warehouse:
        assert pseudonymiser(warehouse, id_width=8).id_width == 8
        assert pseudonymiser(warehouse).id_width == 8
        with pytest.raises(DatabaseError, match=r"has id_width = 8; id_width = 9 is asked for"):
            pseudonymiser(warehouse, id_width=9)


def test_a_database_made_without_a_length_takes_none_later(database: Path) -> None:
    with open_warehouse(database, create=True) as warehouse:
        pseudonymiser(warehouse)
        with pytest.raises(DatabaseError, match=r"keeps ids as they are .* id_width = 8"):
            pseudonymiser(warehouse, id_width=8)
        assert pseudonymiser(warehouse).id_width is None
