"""The peers as they are measured: how each is started, loaded, and compared with our answers."""

import time

from tests.benchmarks.load import USERS, Kind, Load, drive
from tests.benchmarks.rig import Rig
from tests.benchmarks.work import Work
from tests.support.servers import Service

PEER = "peer"
UVICORN = "uvicorn --port {port} --workers 2 --loop uvloop --http httptools --no-access-log tests.benchmarks.peer."
GRANIAN = "granian --interface wsgi --port {port} --http 1 --workers 2 --blocking-threads 1 --no-ws --factory "
COMMANDS = {
    PEER: f"{UVICORN}app:app",
    "async": f"{UVICORN}async_app:app",
    "drf": f"{GRANIAN}django.core.wsgi:get_wsgi_application",
}


class Peer:
    """A peer that runs on a database of its own, and the events that it has acknowledged."""

    def __init__(self, rig: Rig, name: str, database_url: str) -> None:
        topic = f"topic_{name}_actions"
        self._work = Work(name, database_url, topic)
        self.server: Service = rig.peer(name, COMMANDS[name], database_url, topic)
        self.server.start()

    def drive(self, kind: Kind, seconds: int) -> Load:
        """Run a load, as long as its kind requires of a peer."""
        url = f"http://{self.server.address}/api/actions{'/list' if kind.name == 'list' else ''}"
        seconds = max(seconds, kind.peer_seconds)
        load = drive(url, kind, seconds=seconds, users=USERS, key="", cpu_of={"web": self.server})
        self._work.add(kind, load)
        time.sleep(0.5)  # for its producer to send the last messages
        return load

    def check_the_work(self, broker: str) -> dict[str, int]:
        """The numbers of acknowledged events, rows and messages; RuntimeError when they contradict each other."""
        return self._work.check(broker)

    def close(self) -> None:
        """Stop it, so that it does not disturb the next measurement."""
        self.server.close()
