"""The local server that this room's tests download from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from publishing import Site, serve


@pytest.fixture
def site() -> Iterator[Site]:
    """A running server with nothing published yet."""
    site = Site({})
    server = serve(site)
    yield site
    server.shutdown()
    server.server_close()
