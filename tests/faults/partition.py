"""PostgreSQL in a network of its own, which can be cut off: packets vanish, nobody is told."""

import contextlib
import os
import shutil
from collections.abc import Mapping

from tests.support.os_processes import run
from tests.support.programs import Missing
from tests.support.servers import Postgres

SUBNET = f"10.213.{os.getpid() % 250}"  # of this run alone
HOST, SERVER = f"{SUBNET}.1", f"{SUBNET}.2"


class PartitionedPostgres(Postgres):
    """PostgreSQL behind a virtual cable (a network namespace and a veth pair, so it takes root)."""

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self._network = f"ccweb{os.getpid()}"
        self._inside = False
        super().__init__({"listen_addresses": "*"} | dict(settings or {}))
        with (self._data / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {HOST}/32 trust\n")
        lay_cable(self._network)
        self._inside = True

    @property
    def address(self) -> str:
        """host:port."""
        return f"{SERVER}:{self.port}"

    def cut_off(self) -> None:
        """Let nothing out of the server's network any more."""
        run(["ip", "-n", self._network, "route", "add", "blackhole", f"{HOST}/32"])

    def reconnect(self) -> None:
        """Undo cut_off."""
        run(["ip", "-n", self._network, "route", "del", "blackhole", f"{HOST}/32"])

    def close(self) -> None:
        """As its parent does, and the cable goes."""
        super().close()
        with contextlib.suppress(RuntimeError):  # a repeated close
            run(["ip", "netns", "delete", self._network])

    def _identity(self) -> list[str]:
        return [] if self._inside else super()._identity()

    def _command(self) -> list[str]:
        return ["ip", "netns", "exec", self._network, "setpriv", *super()._identity(), "--", *super()._command()]


def lay_cable(network: str) -> None:
    """A network namespace with one end of a cable; raises Missing where that is not allowed."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        raise Missing("a network of its own takes root and the program ip")
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
        raise Missing(f"no network of its own can be made here: {error}") from error
