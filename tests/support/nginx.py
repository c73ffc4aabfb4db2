"""nginx in front of web processes, configured by deploy/nginx.conf."""

import os
import shutil
from pathlib import Path

from tests.support.deployment import call
from tests.support.programs import Missing
from tests.support.servers import Service

CONFIGURATION = Path(__file__).parents[2] / "deploy/nginx.conf"
PROGRAM = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")  # where Debian puts it
SERVER = "server web:8000 max_fails=0;"


class Nginx(Service):
    """A proxy on another port of 127.0.0.1; its files lie in its folder.

    `upstreams` are addresses (host:port) or Unix sockets (unix:/path). With `tls` the web processes are told that
    clients came by HTTPS, as if this nginx had a certificate.
    """

    name = "nginx"

    def __init__(self, *upstreams: str, tls: bool = False) -> None:
        if PROGRAM is None:
            raise Missing("nginx is not installed: apt-get install nginx-light")
        super().__init__()
        servers = "".join(SERVER.replace("web:8000", upstream) for upstream in upstreams)
        text = CONFIGURATION.read_text().replace("/tmp/", f"{self.folder}/")  # noqa: S108
        text = text.replace(SERVER, servers).replace("8080", self.address)
        text = text.replace("$scheme", "https") if tls else text
        self._configuration = self.folder / "nginx.conf"
        # As root, nginx would give its workers another user, who may not open the sockets of the tests.
        user = "user root;\n" if os.geteuid() == 0 else ""
        head = f"{user}daemon off;\npid {self.folder}/pid;\nerror_log stderr;\n"
        self._configuration.write_text(head + text)

    def _command(self) -> list[str]:
        return [str(PROGRAM), "-c", str(self._configuration), "-p", str(self.folder)]

    def _answers(self) -> bool:
        try:
            call(self.address, "GET", "/healthz", timeout=5)
        except OSError:
            return False
        return True
