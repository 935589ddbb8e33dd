"""What all tests share: a home of their own, and no configuration from outside. It must not hold tests."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import settings

from llm_cache.testing import FakeUpstream
from tests.redis_servers import Server, serving

# How long an example takes depends on who else is at work on the machine; a test that hangs is ended all the same.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


def pytest_collection_finish() -> None:
    """What is imported by now stays, and need not be looked through at each collection: with every SDK it is much."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def _certificate(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file with one certificate, that of nobody."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "nobody")])
    now = datetime.now(timezone.utc)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    file = tmp_path_factory.mktemp("tls") / "nobody.pem"
    file.write_bytes(made.sign(key, SHA256()).public_bytes(Encoding.PEM))
    return str(file)


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, _certificate: str) -> None:
    """No test reads or writes the configuration or the cache of whoever runs it."""
    # Each HTTP client reads all authorities that it trusts; none of them is needed on loopback.
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE"):
        monkeypatch.setenv(name, _certificate)
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    for name in list(os.environ):
        settings = name.startswith("LLMCACHE_") and name != "LLMCACHE_TEST_TRAFFIC"
        if settings or name in {"XDG_CONFIG_HOME", "XDG_CACHE_HOME", *_PROXIES}:
            monkeypatch.delenv(name)


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    """A provider on loopback, started, with nothing to say yet."""
    with FakeUpstream() as fake:
        yield fake


@pytest.fixture
def database(tmp_path: Path) -> str:
    """Where a test's cache is."""
    return str(tmp_path / "cache.db")


@pytest.fixture(scope="session")
def redis_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Redis that all tests of this worker share; `redis_server` is how to ask for it."""
    with serving(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_server(redis_process: Server) -> Server:
    """A Redis with nothing in it. It must be left running, with the settings that it has."""
    redis_process.client().flushall()
    return redis_process
