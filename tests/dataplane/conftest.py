"""Fixtures of the data plane's tests."""

from collections.abc import Iterator

import pytest

from dataplane.tunnels import App


@pytest.fixture
def app() -> Iterator[App]:
    """An app at the other end of tunnels, whose connections are in the test's hands."""
    with App() as listening:
        yield listening
