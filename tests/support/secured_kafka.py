"""Apache Kafka with a listener for each way to secure one, and the certificates that its clients need."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from tests.support.os_processes import free_port, run
from tests.support.programs import Missing
from tests.support.servers import Kafka

USER, PASSWORD = "ccweb", "a,comma=and-more"
MECHANISMS = ("PLAIN", "SCRAM-SHA-512")
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1")
# The name of each listener, and its protocol.
LISTENERS = {"SSL": "SSL", "SASL_SSL": "SASL_SSL", "SASL_PLAINTEXT": "SASL_PLAINTEXT", "IPV6": "PLAINTEXT"}


class Certificates:
    """A certificate authority in a folder: NAME.pem holds a certificate, NAME.key its key."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("openssl") is None:
            raise Missing("openssl is not installed: it makes the certificates of a secured Kafka")
        self._folder = folder
        self.authority, self._key = self._paths("authority")
        self._openssl("req", "-x509", *NEW_KEY, "-subj", "/CN=ca", "-keyout", self._key, "-out", self.authority)

    def issue(self, name: str) -> tuple[str, str]:
        """The paths of a new certificate for CN=name, valid for servers on 127.0.0.1, and of its key."""
        certificate, key = self._paths(name)
        request, names = self._folder / f"{name}.csr", self._folder / "names"
        names.write_text("subjectAltName=IP:127.0.0.1")
        self._openssl("req", *NEW_KEY, "-subj", f"/CN={name}", "-keyout", key, "-out", str(request))
        signer = ("-CA", self.authority, "-CAkey", self._key, "-CAcreateserial", "-days", "1", "-extfile", str(names))
        self._openssl("x509", "-req", "-in", str(request), *signer, "-out", certificate)
        return certificate, key

    def _paths(self, name: str) -> tuple[str, str]:
        return str(self._folder / f"{name}.pem"), str(self._folder / f"{name}.key")

    def _openssl(self, *arguments: str) -> None:
        run(["openssl", *arguments], {"PATH": os.environ["PATH"]})


class SecuredKafka(Kafka):
    """Kafka with PLAINTEXT (a superuser), SSL with a client certificate, and SASL with PLAIN and SCRAM-SHA-512.

    Whoever comes with a certificate or a login needs an ACL for everything.
    """

    def _configuration(self) -> dict[str, str]:
        self.certificates = Certificates(self.folder)
        self._ports = {name: free_port() for name in LISTENERS}
        properties = super()._configuration()
        for name in ("listeners", "advertised.listeners"):
            properties[name] = ",".join([properties[name], *(f"{one}://{self.address_of(one)}" for one in LISTENERS)])
        properties["listener.security.protocol.map"] += "".join(f",{name}:{of}" for name, of in LISTENERS.items())
        return (
            properties
            | dict(self._logins())
            | {
                "ssl.keystore.type": "PEM",
                "ssl.keystore.location": self._keystore(),
                "ssl.truststore.type": "PEM",
                "ssl.truststore.location": self.certificates.authority,
                "listener.name.ssl.ssl.client.auth": "required",
                "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                "super.users": "User:ANONYMOUS",
            }
        )

    def _logins(self) -> Iterator[tuple[str, str]]:
        security = "org.apache.kafka.common.security"
        plain = f'{security}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
        for listener in ("sasl_ssl", "sasl_plaintext"):
            yield f"listener.name.{listener}.plain.sasl.jaas.config", plain
            scram = f"listener.name.{listener}.scram-sha-512.sasl.jaas.config"
            yield scram, f"{security}.scram.ScramLoginModule required;"
        yield "sasl.enabled.mechanisms", ",".join(MECHANISMS)

    def _keystore(self) -> str:
        certificate, key = map(Path, self.certificates.issue("broker"))
        keystore = self.folder / "broker.keystore.pem"
        keystore.write_text(key.read_text() + certificate.read_text())
        return str(keystore)

    def start(self) -> Self:
        """Start it; USER has PASSWORD for both mechanisms then."""
        super().start()
        scram = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        admin = self._admin()
        admin.alter_user_scram_credentials([UserScramCredentialUpsertion(USER, scram, PASSWORD.encode())])[
            USER
        ].result()
        return self

    def address_of(self, listener: str) -> str:
        """host:port of one of LISTENERS."""
        host = "[::1]" if listener == "IPV6" else "127.0.0.1"
        return f"{host}:{self._ports[listener]}"

    def allow(self, principal: str, operation: AclOperation, kind: ResourceType, prefix: str) -> None:
        """Allow User:principal an operation on all resources whose names begin with the prefix."""
        allowed = (f"User:{principal}", "*", operation, AclPermissionType.ALLOW)
        acl = AclBinding(kind, prefix, ResourcePatternType.PREFIXED, *allowed)
        admin = self._admin()
        admin.create_acls([acl])[acl].result()

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.address, "log_level": 0})
