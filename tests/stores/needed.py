"""What Vidette relies on, as probes: each makes real requests and says whether the store did as S3 does."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock
from urllib.parse import parse_qs, urlsplit

from tests.stores.place import MIB, Finding, Place, answer, bytes_of, parts_of, web
from tests.support.servers import StoreEndpoint
from tests.support.stores import store_settings
from vidette_core.adapters.s3 import S3BlobStore
from vidette_core.ports.errors import PortError

_COMPLETE_LIMIT_S = 300.0  # VIDETTE_STORE_COMPLETE_TIMEOUT_S, unless somebody sets it
_GIB_PART = 8 * MIB
_SMALL_CHANGE_MIB = 16  # logs and metadata, beside a video


def refuses_changed_addresses(place: Place) -> Finding:
    """The address as signed is taken, and with anything changed it is refused."""
    client, at = place.client(), place.at("object")
    client.put_object(**at, Body=b"abc")
    url = client.generate_presigned_url("get_object", dict(at))
    life, signature = (parse_qs(urlsplit(url).query)[name][0] for name in ("X-Amz-Expires", "X-Amz-Signature"))
    changes = {
        "/object?": "/other?",
        f"X-Amz-Expires={life}": f"X-Amz-Expires={int(life) * 10}",
        signature: signature[:-4] + ("0000" if signature[-4:] != "0000" else "1111"),
    }
    with web() as http:
        taken = [http.get(url)]
        refused = [http.get(url.replace(old, new)) for old, new in changes.items()]
        refused += [http.put(url, content=b"abc"), http.delete(url)]
    wrong = sorted({each.status_code for each in taken} - {200}) + sorted(
        {each.status_code for each in refused} - {403}
    )
    return Finding(not wrong, f"answers {wrong}" if wrong else "")


def refuses_expired_addresses(place: Place) -> Finding:
    client, at = place.client(), place.at("object")
    client.put_object(**at, Body=b"abc")
    url = client.generate_presigned_url("get_object", dict(at), 1)
    time.sleep(2.2)
    with web() as http:
        answers = [http.get(url), http.get(url, headers={"Range": "bytes=0-1"})]
    statuses = sorted({each.status_code for each in answers})
    right = all(400 <= status < 500 for status in statuses)
    return Finding(right, "" if right else f"answers {statuses}")


def refuses_old_requests(place: Place) -> Finding:
    """What a process that stood still had signed before, and sends now."""
    client, at = place.client(), place.at("object")
    told = []
    for minutes in (14, 16):
        then = datetime.now(UTC) - timedelta(minutes=minutes)
        with mock.patch("botocore.auth.get_current_datetime", return_value=then):
            told.append(answer(client.put_object, **at, Body=b"late"))
    right = [status for status, _ in told] == [200, 403]
    return Finding(right, "" if right else f"of 14 minutes ago {told[0][1]}, of 16 {told[1][1]}")


def reads_ranges(place: Place) -> Finding:
    """Of an object of two parts, by a presigned address: first, across the parts' border, to the end, suffix, behind the end."""
    client, at = place.client(), place.at("object")
    content = bytes_of(1, 5 * MIB + 1000)
    upload = client.create_multipart_upload(**at)["UploadId"]
    halves = {1: content[: 5 * MIB], 2: content[5 * MIB :]}
    etags = {
        number: client.upload_part(**at, UploadId=upload, PartNumber=number, Body=half)["ETag"]
        for number, half in halves.items()
    }
    client.complete_multipart_upload(**at, UploadId=upload, MultipartUpload=parts_of(etags))
    border, size = 5 * MIB, len(content)
    wanted = {
        "bytes=0-0": content[:1],
        f"bytes={border - 100}-{border + 99}": content[border - 100 : border + 100],
        f"bytes={size - 10}-": content[-10:],
        "bytes=-500": content[-500:],
        f"bytes={size - 5}-{size + 500}": content[-5:],
    }
    url, wrong = client.generate_presigned_url("get_object", dict(at)), []
    with web() as http:
        for ask, right in wanted.items():
            got = http.get(url, headers={"Range": ask})
            if (got.status_code, got.content) != (206, right):
                wrong.append(f"{ask}: {got.status_code}")
        behind = http.get(url, headers={"Range": f"bytes={size}-"}).status_code
    if behind != 416:
        wrong.append(f"behind the end: {behind}")
    return Finding(not wrong, "; ".join(wrong))


def puts_parts_together(place: Place) -> Finding:
    """Parts out of their order, one of them twice, by two clients; not to be seen before; an abort takes all of it away."""
    first, second, at = place.client(), place.client(), place.at("object")
    upload = first.create_multipart_upload(**at)["UploadId"]
    etags = {2: first.upload_part(**at, UploadId=upload, PartNumber=2, Body=b"end")["ETag"]}
    for seed in (1, 2):
        sent = second.upload_part(**at, UploadId=upload, PartNumber=1, Body=bytes_of(seed, 5 * MIB))
        etags[1] = sent["ETag"]
    early = answer(first.head_object, **at)
    first.complete_multipart_upload(**at, UploadId=upload, MultipartUpload=parts_of(etags))
    whole = second.get_object(**at)["Body"].read() == bytes_of(2, 5 * MIB) + b"end"
    again = answer(first.complete_multipart_upload, **at, UploadId=upload, MultipartUpload=parts_of(etags))
    other = place.at("object")
    dropped = first.create_multipart_upload(**other)["UploadId"]
    first.abort_multipart_upload(**other, UploadId=dropped)
    late = answer(first.upload_part, **other, UploadId=dropped, PartNumber=1, Body=b"late")
    right = (early[0], whole, late) == (404, True, (404, "NoSuchUpload")) and again[0] in (200, 404)
    return Finding(right, f"completed once more: {again[1]}" if right else f"{early}, {whole}, {again}, {late}")


def survives_a_kill(place: Place) -> Finding:
    """SIGKILL while parts are on their way: what was acknowledged is there, and the upload goes on."""
    at, done = {"Bucket": place.store.bucket, "Key": "killed/video"}, bytes_of(3, 200_000)
    objects = {f"killed/{number}": bytes_of(number, 50_000) for number in range(20)}
    parts = {number: bytes_of(100 + number, 5 * MIB) for number in range(1, 7)}
    with TemporaryDirectory(dir=place.folder.parent) as folder:
        with place.another(Path(folder)) as store:
            client = replace(place, store=store).client()
            for key, content in objects.items():
                client.put_object(Bucket=at["Bucket"], Key=key, Body=content)
            upload = client.create_multipart_upload(**at)["UploadId"]
            sent = {**at, "UploadId": upload}
            etags = {n: client.upload_part(**sent, PartNumber=n, Body=parts[n])["ETag"] for n in (1, 2, 3)}
            client.put_object(Bucket=at["Bucket"], Key="killed/last", Body=done)
            asyncio.run(_killed_at_work(replace(place, store=store), sent, parts))
        began = time.monotonic()
        with place.another(Path(folder)) as store:
            ready, client = time.monotonic() - began, replace(place, store=store).client()
            objects["killed/last"] = done
            lost = [key for key, content in objects.items() if _read(client, at["Bucket"], key) != content]
            for number in (4, 5, 6):
                etags[number] = client.upload_part(**sent, PartNumber=number, Body=parts[number])["ETag"]
            client.complete_multipart_upload(**sent, MultipartUpload=parts_of(etags))
            whole = client.get_object(**at)["Body"].read() == b"".join(parts.values())
    note = f"ready again after {ready:.1f} s" if whole else "the upload was lost"
    return Finding(whole and not lost, f"lost: {lost}" if lost else note)


async def _killed_at_work(place: Place, sent: dict[str, str], parts: dict[int, bytes]) -> None:
    async def more() -> None:
        client = place.client(read_timeout=10)
        for number in (4, 5, 6):
            await asyncio.to_thread(client.upload_part, **sent, PartNumber=number, Body=parts[number])

    sending = asyncio.create_task(more())
    await asyncio.sleep(0.06)
    place.store.child.kill()
    await asyncio.gather(sending, return_exceptions=True)


def _read(client: Any, bucket: str, key: str) -> bytes | None:
    try:
        content: bytes = client.get_object(Bucket=bucket, Key=key)["Body"].read()
    except client.exceptions.NoSuchKey:
        return None
    return content


def takes_a_gibibyte(place: Place) -> Finding:
    """As the api sends it, 8 MiB at a time, one after another; and what is left on the disk once it is deleted."""
    client, at, block = place.client(), place.at("video"), bytes_of(9, _GIB_PART)
    before, began = _disk(place.folder), time.monotonic()
    upload = client.create_multipart_upload(**at)["UploadId"]
    etags = {
        number: client.upload_part(
            **at, UploadId=upload, PartNumber=number, Body=number.to_bytes(8, "big") + block[8:]
        )["ETag"]
        for number in range(1, 129)
    }
    sent = time.monotonic()
    client.complete_multipart_upload(**at, UploadId=upload, MultipartUpload=parts_of(etags))
    complete = time.monotonic() - sent
    size = client.head_object(**at)["ContentLength"]
    last = client.get_object(**at, Range=f"bytes={127 * _GIB_PART}-{127 * _GIB_PART + 7}")["Body"].read()
    client.delete_object(**at)
    freed = _freed(place.folder, before)
    right = (size, last) == (1024 * MIB, (128).to_bytes(8, "big")) and complete < _COMPLETE_LIMIT_S
    speed = f"{1024 / (sent - began):.0f} MiB/s, then {complete:.1f} s to complete"
    return Finding(right, f"{speed}; {freed}")


def _disk(folder: Path) -> int:
    """Bytes that the files under a folder take. They come and go meanwhile."""
    taken = 0
    for path in folder.rglob("*"):
        try:
            taken += path.stat().st_blocks * 512 if path.is_file() else 0
        except FileNotFoundError:
            continue
    return taken


def _freed(folder: Path, before: int, limit_s: float = 20) -> str:
    began = time.monotonic()
    while (left := (_disk(folder) - before) // MIB) > _SMALL_CHANGE_MIB:
        if time.monotonic() - began > limit_s:
            return f"{limit_s:.0f} s after it was deleted {left} MiB of it are on the disk"
        time.sleep(0.5)
    return f"{max(1.0, time.monotonic() - began):.0f} s after it was deleted its room is free"


def says_no_to_strangers(place: Place) -> Finding:
    """A wrong secret and an unknown key, and what Vidette's own adapter makes of them."""
    said = []
    for stranger in (
        replace(place.store, secret_key="not-the-secret-key"),
        replace(place.store, access_key="nobodyatall"),
    ):
        said.append((answer(replace(place, store=stranger).client().get_object, **place.at("x")), _ping(stranger)))
    right = all(status == 403 and made == "Rejected" for (status, _), made in said)
    return Finding(right, ", ".join(f"{status} {code}" for (status, code), _ in said))


def says_that_a_bucket_is_missing(place: Place) -> Finding:
    nowhere = replace(place.store, bucket="vidette-is-not-here")
    told = answer(place.client().create_multipart_upload, Bucket=nowhere.bucket, Key="x")
    made = _ping(nowhere)
    return Finding(told == (404, "NoSuchBucket") and made == "NotFound", f"{told[0]} {told[1]}")


def _ping(store: StoreEndpoint) -> str:
    async def ping() -> str:
        blobs = S3BlobStore(store_settings(store))
        try:
            await blobs.ping()
        except PortError as error:
            return type(error).__name__
        finally:
            blobs.close()
        return "nothing"

    return asyncio.run(ping())


PROBES = {
    "presigned GET: any change of key, method, life or signature is refused": refuses_changed_addresses,
    "presigned GET: refused once expired": refuses_expired_addresses,
    "requests signed more than 15 minutes ago are refused": refuses_old_requests,
    "range reads by presigned address, also across parts": reads_ranges,
    "multipart: parts in any order and again, complete, abort": puts_parts_together,
    "SIGKILL during parts: what was acknowledged stays, the upload goes on": survives_a_kill,
    "a video of 1 GiB in parts of 8 MiB": takes_a_gibibyte,
    "a wrong secret, an unknown access key": says_no_to_strangers,
    "a bucket that is not there": says_that_a_bucket_is_missing,
}
