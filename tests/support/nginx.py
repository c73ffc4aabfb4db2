"""nginx in front of a web process, configured by deploy/nginx.conf."""

import shutil
from pathlib import Path

from tests.support.deployment import call
from tests.support.programs import Missing
from tests.support.servers import Service

CONFIGURATION = Path(__file__).parents[2] / "deploy/nginx.conf"


class Nginx(Service):
    """A proxy of one web process on another port of 127.0.0.1; its files lie in its folder."""

    name = "nginx"

    def __init__(self, upstream: str) -> None:
        if shutil.which("nginx") is None:
            raise Missing("nginx is not installed: apt-get install nginx-light")
        super().__init__()
        text = CONFIGURATION.read_text().replace("web:8000", upstream).replace("8080", self.address)
        self._configuration = self.folder / "nginx.conf"
        head = f"daemon off;\npid {self.folder}/pid;\nerror_log stderr;\n"
        self._configuration.write_text(head + text.replace("/tmp/", f"{self.folder}/"))  # noqa: S108

    def _command(self) -> list[str]:
        return ["nginx", "-c", str(self._configuration), "-p", str(self.folder)]

    def _answers(self) -> bool:
        try:
            return call(self.address, "GET", "/healthz", timeout=5).status < 500
        except OSError:
            return False
