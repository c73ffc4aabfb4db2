"""What makes one Redis out of several: a Sentinel that promotes a replica, and HAProxy, which leads to the master."""

import re
import shutil
from pathlib import Path

from tests.support.programs import Missing
from tests.support.servers import Redis, Service

OPERATIONS = Path(__file__).parents[2] / "docs/operations.md"


class Sentinel(Redis):
    """A Sentinel that alone decides about a failover, half a second after the master has gone silent."""

    name = "sentinel"

    def __init__(self, master: Redis | None = None) -> None:
        super().__init__()
        watched = ""
        if master is not None:
            watched = f"sentinel monitor ccweb {master.address.replace(':', ' ')} 1\n"
            watched += "sentinel down-after-milliseconds ccweb 500\nsentinel failover-timeout ccweb 5000\n"
        (self.folder / "sentinel.conf").write_text(f"port {self.port}\nbind 127.0.0.1\n{watched}")

    def _command(self) -> list[str]:
        return [self._program, str(self.folder / "sentinel.conf"), "--sentinel"]


class HAProxy(Service):
    """The configuration of docs/operations.md in front of the given servers, without a password."""

    name = "haproxy"

    def __init__(self, *servers: Redis) -> None:
        if shutil.which("haproxy") is None:
            raise Missing("HAProxy is not installed: apt-get install haproxy")
        super().__init__()
        documented = re.search(r"^backend redis\n(?:    .*\n)*", OPERATIONS.read_text(), re.MULTILINE)
        assert documented is not None
        lines = [line for line in documented[0].splitlines() if not re.search("AUTH|OK|server redis", line)]
        lines += [f"    server redis{server.port} {server.address}" for server in servers]
        head = "defaults\n    timeout connect 2s\n    timeout client 1h\n    timeout server 1h\n"
        listener = f"frontend redis\n    mode tcp\n    bind {self.address}\n    default_backend redis\n"
        self._configuration = self.folder / "haproxy.cfg"
        self._configuration.write_text("\n".join([head, listener, *lines, ""]))

    @property
    def url(self) -> str:
        """The URL without the database number."""
        return f"redis://{self.address}"

    def _command(self) -> list[str]:
        return ["haproxy", "-db", "-f", str(self._configuration)]

    def _answers(self) -> bool:
        return Redis._answers(self)  # type: ignore[arg-type]
