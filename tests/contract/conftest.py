"""A golden server for each module, quiet before each test; a stand-in for S3."""

from __future__ import annotations

import logging
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


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """A stand-in for S3 with one bucket; what follows ``s3://bucket/…`` to reach it."""
    server = pytest.importorskip("moto.server")
    pytest.importorskip("pyarrow")
    import boto3

    keys = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_EC2_METADATA_DISABLED": "true"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in keys.items():
            patch.setenv(name, value)
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        running.start()
        host, port = running.get_host_and_port()
        client = boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1")
        client.create_bucket(Bucket="bucket")
        yield f"?endpoint_override={host}:{port}&scheme=http&region=us-east-1"
        running.stop()
