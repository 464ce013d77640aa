"""What every test stands on: no network but loopback, a clean environment, and an endpoint on request.

What does not belong here: anything that imports torch or dagster.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
for _name in [name for name in os.environ if name.startswith(("OPENAI_", "AUTOGRAMS_"))]:
    del os.environ[_name]

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

from tests.endpoint import Endpoint  # noqa: E402

# Machines are shared: a property that holds slowly holds.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")


_LONG = 900
"""Seconds that a test marked ``long`` may take."""


class OutsideConnection(RuntimeError):
    """A test tried to reach something outside this machine."""


def _is_local(host: object) -> bool:
    text = host.decode() if isinstance(host, bytes) else str(host)
    return text in ("", "localhost", "::1", "None", "0.0.0.0", "::") or text.startswith("127.")


@pytest.fixture(autouse=True, scope="session")
def loopback_only() -> Iterator[None]:
    """Refuse connections and name look-ups that leave this machine, in this process."""
    connect, connect_ex, getaddrinfo = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def check(host: object) -> None:
        if not _is_local(host):
            raise OutsideConnection(f"a test tried to reach {host!r}; tests may use loopback only")

    def checked_connect(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX:
            check(address[0])
        return connect(self, address)

    def checked_connect_ex(self: socket.socket, address: Any) -> int:
        if self.family != socket.AF_UNIX:
            check(address[0])
        return connect_ex(self, address)

    def checked_getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        check(host)
        return getaddrinfo(host, *args, **kwargs)

    patch = pytest.MonkeyPatch()
    patch.setattr(socket.socket, "connect", checked_connect)
    patch.setattr(socket.socket, "connect_ex", checked_connect_ex)
    patch.setattr(socket, "getaddrinfo", checked_getaddrinfo)
    yield
    patch.undo()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let a long test take its time where others keep the machine busy; one that says how long keeps that."""
    for item in items:
        if item.get_closest_marker("long") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(_LONG))


@pytest.fixture(scope="session")
def endpoint_process() -> Iterator[Endpoint]:
    """One endpoint for the whole run; tests ask for ``endpoint``."""
    process = Endpoint()
    yield process
    process.stop()


@pytest.fixture
def endpoint(endpoint_process: Endpoint) -> Endpoint:
    """An endpoint (``.url``, ``.script(...)``, ``.stats()``, ``.requests()``), its counters at zero."""
    endpoint_process.reset()
    return endpoint_process
