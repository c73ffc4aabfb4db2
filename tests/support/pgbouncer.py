"""PgBouncer in front of a PostgreSQL server, configured by deploy/pgbouncer.ini."""

import os
import shutil
from pathlib import Path

import psycopg

from tests.support.programs import Missing
from tests.support.servers import Service

CONFIGURATION = Path(__file__).parents[2] / "deploy/pgbouncer.ini"
STATEMENT_TIMEOUT = "3499"  # ms; not 3500, to be told apart from what a request would set
PROGRAM = "/usr/sbin/pgbouncer"  # Debian's, which is not on every user's PATH


class PgBouncer(Service):
    """A pooler of the server at `port`; `settings` replace lines of its section [pgbouncer], such as the pool size."""

    name = "pgbouncer"

    def __init__(self, port: int, **settings: str) -> None:
        if not Path(PROGRAM).exists():
            raise Missing("PgBouncer is not installed: apt-get install pgbouncer")
        super().__init__(settings)
        users = self.folder / "users.txt"
        users.write_text('"postgres" ""\n')
        here = {"listen_port": str(self.port), "auth_type": "trust", "auth_file": str(users)} | self.settings
        text = CONFIGURATION.read_text().replace("host=db.internal port=5432", f"host=127.0.0.1 port={port}")
        text = text.replace("statement_timeout = 3500", f"statement_timeout = {STATEMENT_TIMEOUT}")
        self._configuration = self.folder / "pgbouncer.ini"
        self._configuration.write_text(text + "".join(f"{name} = {value}\n" for name, value in here.items()))
        if os.geteuid() == 0:
            for path in (self.folder, users, self._configuration):
                shutil.chown(path, "postgres", "postgres")

    def url(self, database: str) -> str:
        """The URL of a database of the server, through the pooler."""
        return f"postgres://postgres@{self.address}/{database}"

    def _identity(self) -> list[str]:
        if os.geteuid() != 0:
            return []
        return ["--reuid", "postgres", "--regid", "postgres", "--init-groups"]  # it refuses to run as root

    def _command(self) -> list[str]:
        return [PROGRAM, str(self._configuration)]

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True
