"""A golden server for each module, quiet before each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.golden import Golden, golden_server


@pytest.fixture(scope="module")
def server() -> Iterator[Golden]:
    with golden_server() as golden:
        yield golden


@pytest.fixture
def golden(server: Golden) -> Golden:
    server.script(default="plain")
    return server
