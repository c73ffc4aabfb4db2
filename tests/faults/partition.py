"""PostgreSQL in a separate network namespace that can be cut off: packets are dropped without an error."""

import contextlib
import os
import shutil
from collections.abc import Mapping

from tests.support.os_processes import run
from tests.support.programs import Missing
from tests.support.servers import Postgres

SUBNET = f"10.213.{os.getpid() % 250}"  # used by this run only
HOST, SERVER = f"{SUBNET}.1", f"{SUBNET}.2"


class PartitionedPostgres(Postgres):
    """PostgreSQL behind a veth pair in its own network namespace; requires root."""

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self._network = f"ccweb{os.getpid()}"
        self._inside = False
        super().__init__({"listen_addresses": "*"} | dict(settings or {}))
        with (self._data / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {HOST}/32 trust\n")
        create_network(self._network)
        self._inside = True

    @property
    def address(self) -> str:
        """host:port."""
        return f"{SERVER}:{self.port}"

    def cut_off(self) -> None:
        """Drop all packets from the server."""
        run(["ip", "-n", self._network, "route", "add", "blackhole", f"{HOST}/32"])

    def reconnect(self) -> None:
        """Undo cut_off()."""
        run(["ip", "-n", self._network, "route", "del", "blackhole", f"{HOST}/32"])

    def close(self) -> None:
        """Also delete the network namespace."""
        super().close()
        with contextlib.suppress(RuntimeError):  # close() was called before
            run(["ip", "netns", "delete", self._network])

    def _identity(self) -> list[str]:
        return [] if self._inside else super()._identity()

    def _command(self) -> list[str]:
        return ["ip", "netns", "exec", self._network, "setpriv", *super()._identity(), "--", *super()._command()]


def create_network(network: str) -> None:
    """Create a network namespace with one end of a veth pair; raises Missing where that is not permitted."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        raise Missing("a network namespace requires root and the program ip")
    outside, inside = f"v{network}", f"w{network}"
    try:
        run(["ip", "netns", "add", network])
        run(["ip", "link", "add", outside, "type", "veth", "peer", "name", inside, "netns", network])
        run(["ip", "address", "add", f"{HOST}/30", "dev", outside])
        run(["ip", "link", "set", outside, "up"])
        run(["ip", "-n", network, "address", "add", f"{SERVER}/30", "dev", inside])
        run(["ip", "-n", network, "link", "set", inside, "up"])
        run(["ip", "-n", network, "link", "set", "lo", "up"])
    except RuntimeError as error:
        raise Missing(f"a network namespace cannot be created: {error}") from error
