import os

import psycopg
import pytest
from django.db import connection

from ccweb.db.identity import POSTGRESQL, database_identity
from tests.support.servers import create_database

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_identity_stays_the_same() -> None:
    assert database_identity() == database_identity() != ""


def test_a_copy_in_the_same_server_has_another_identity() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no other databases")
    settings = connection.settings_dict
    url = f"postgres://{settings['USER']}@{settings['HOST']}:{settings['PORT']}/postgres"
    copy = create_database(url, f"identity_copy_{os.getpid()}")
    with psycopg.connect(copy) as session:
        row = session.execute(POSTGRESQL).fetchone()
    assert row is not None
    ours, theirs = database_identity(), f"{row[0]}-{row[1]}"
    assert ours != theirs
    assert ours.partition("-")[0] == theirs.partition("-")[0]
