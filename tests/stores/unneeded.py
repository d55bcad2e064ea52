"""What Vidette does without because some store cannot do it, as probes: a store that can is as good as one that cannot."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from tests.stores.place import MIB, Finding, Place, answer, bytes_of, md5_etag, parts_of, web
from tests.support.store_servers import DOMAIN
from tests.support.tarballs import tarball

_RIVALS = 8
_PATIENCE_S = 20


def writes_only_if_absent(place: Place) -> Finding:
    client, at = place.client(), place.at("object")
    client.put_object(**at, Body=b"first", IfNoneMatch="*")
    second = answer(client.put_object, **at, Body=b"second", IfNoneMatch="*")
    if second[0] != 412:
        return Finding(False, f"the second write: {second[1]}")
    contested, gate = place.at("object"), Barrier(_RIVALS)

    def write(number: int) -> bool:
        gate.wait(_PATIENCE_S)
        return answer(client.put_object, **contested, Body=b"%d" % number, IfNoneMatch="*")[0] == 200

    with ThreadPoolExecutor(_RIVALS) as threads:
        winners = sum(threads.map(write, range(_RIVALS)))
    return Finding(winners == 1, "" if winners == 1 else f"{winners} of {_RIVALS} at once won")


def completes_only_if_absent(place: Place) -> Finding:
    client, at = place.client(), place.at("object")
    client.put_object(**at, Body=b"first")
    upload = client.create_multipart_upload(**at)["UploadId"]
    etags = parts_of({1: client.upload_part(**at, UploadId=upload, PartNumber=1, Body=b"second")["ETag"]})
    told = answer(client.complete_multipart_upload, **at, UploadId=upload, MultipartUpload=etags, IfNoneMatch="*")
    return Finding(told[0] == 412, "" if told[0] == 412 else f"{told[0]} {told[1]}")


def deletes_only_if_unchanged(place: Place) -> Finding:
    client, at = place.client(), place.at("object")
    client.put_object(**at, Body=b"x")
    told = answer(client.delete_object, **at, IfMatch=f'"{"0" * 32}"')
    return Finding(told[0] == 412, "" if told[0] == 412 else f"a stale ETag: {told[0]} {told[1]}")


def ends_old_uploads_itself(place: Place) -> Finding:
    client, bucket = place.client(), place.store.bucket
    told = answer(
        client.put_bucket_lifecycle_configuration,
        Bucket=bucket,
        LifecycleConfiguration={
            "Rules": [
                {
                    "ID": "abort",
                    "Status": "Enabled",
                    "Filter": {"Prefix": ""},
                    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
                }
            ]
        },
    )
    if told[0] == 200:
        client.delete_bucket_lifecycle(Bucket=bucket)
    return Finding(told[0] == 200, "taken; a day was not waited for" if told[0] == 200 else f"{told[0]} {told[1]}")


def lists_uploads_by_prefix(place: Place) -> Finding:
    client, at = place.client(), place.at("object")
    prefix = at["Key"].removesuffix("object")
    uploads = {name: client.create_multipart_upload(**{**at, "Key": f"{prefix}{name}"})["UploadId"] for name in "ab"}
    listed = client.list_multipart_uploads(Bucket=at["Bucket"], Prefix=prefix).get("Uploads", [])
    narrowed = client.list_multipart_uploads(Bucket=at["Bucket"], Prefix=f"{prefix}b").get("Uploads", [])
    for name, upload in uploads.items():
        client.abort_multipart_upload(**{**at, "Key": f"{prefix}{name}"}, UploadId=upload)
    right = (len(listed), [each["Key"] for each in narrowed]) == (2, [f"{prefix}b"])
    return Finding(right, "" if right else f"lists {len(listed)} of 2, and {len(narrowed)} of 1")


def lists_parts(place: Place) -> Finding:
    client, at = place.client(), place.at("object")
    upload = client.create_multipart_upload(**at)["UploadId"]
    for number in (2, 1):
        client.upload_part(**at, UploadId=upload, PartNumber=number, Body=b"x" * number)
    listed = [(part["PartNumber"], part["Size"]) for part in client.list_parts(**at, UploadId=upload).get("Parts", [])]
    client.abort_multipart_upload(**at, UploadId=upload)
    return Finding(listed == [(1, 1), (2, 2)], "" if listed == [(1, 1), (2, 2)] else f"lists {listed}")


def keeps_empty_names(place: Place) -> Finding:
    client, at = place.client(), place.at("a//b")
    told = answer(client.put_object, **at, Body=b"x")
    if told[0] != 200:
        return Finding(False, told[1])
    # With the whole key for a prefix some refuse the request itself.
    folder = at["Key"].removesuffix("a//b")
    pages = client.list_objects_v2(Bucket=at["Bucket"], Prefix=folder)
    listed = [each["Key"].removeprefix(folder) for each in pages.get("Contents", [])]
    return Finding(listed == ["a//b"], "" if listed == ["a//b"] else f"`a//b` is listed as `{'`, `'.join(listed)}`")


def keeps_a_key_below_a_key(place: Place) -> Finding:
    client, at = place.client(), place.at("x")
    client.put_object(**at, Body=b"x")
    below = {**at, "Key": f"{at['Key']}/y"}
    told = answer(client.put_object, **below, Body=b"y")
    if told[0] != 200:
        return Finding(False, told[1])
    both = [client.get_object(**each)["Body"].read() for each in (at, below)]
    return Finding(both == [b"x", b"y"], "" if both == [b"x", b"y"] else f"reads {both}")


def deletes_many_at_once(place: Place) -> Finding:
    client, at = place.client(), place.at("object")
    client.put_object(**at, Body=b"x")
    told = answer(client.delete_objects, Bucket=at["Bucket"], Delete={"Objects": [{"Key": at["Key"]}]})
    gone = answer(client.head_object, **at)[0] == 404
    return Finding(told[0] == 200 and gone, "" if told[0] == 200 and gone else f"{told[0]} {told[1]}")


def keeps_checksums(place: Place) -> Finding:
    """What SDKs send by themselves since 2025: a CRC32 with each write. A wrong one is refused, a right one kept."""
    client, at, content = place.client(), place.at("object"), bytes_of(4, MIB)
    plain = client.put_object(**at, Body=content)["ETag"].strip('"') == md5_etag(content)
    wrong = answer(client.put_object, **place.at("object"), Body=content, ChecksumCRC32="AAAAAA==")
    client.put_object(**at, Body=content, ChecksumAlgorithm="CRC32")
    kept = client.head_object(**at, ChecksumMode="ENABLED").get("ChecksumCRC32")
    note = f"a wrong one: {wrong[0]} {wrong[1]}; a right one is {'kept' if kept else 'forgotten'}"
    return Finding(plain and wrong[0] == 400 and kept is not None, note)


def takes_the_bucket_from_the_host(place: Place) -> Finding:
    client, at = place.client(), place.at("object")
    client.put_object(**at, Body=b"x")
    port = place.store.endpoint.rpartition(":")[2]
    virtual = place.client(endpoint=f"http://{DOMAIN}:{port}", s3={"addressing_style": "virtual"})
    url = virtual.generate_presigned_url("get_object", dict(at))
    host = f"{at['Bucket']}.{DOMAIN}:{port}"
    with web() as http:
        got = http.get(url.replace(host, f"127.0.0.1:{port}"), headers={"Host": host})
    right = (got.status_code, got.content) == (200, b"x")
    return Finding(right, "" if right else f"{got.status_code} as started here")


def refuses_what_was_not_signed(place: Place) -> Finding:
    """With an address to write one object: copying another there, unpacking an archive over another, opening it to all."""
    client, own, theirs = place.client(), place.at("object"), place.at("theirs")
    client.put_object(**theirs, Body=b"theirs")
    archive = tarball(**{theirs["Key"]: b"spoilt"})
    url = client.generate_presigned_url("put_object", dict(own))
    unsigned = {
        "x-amz-copy-source": f"/{theirs['Bucket']}/{theirs['Key']}",
        "x-amz-meta-snowball-auto-extract": "true",
        "x-amz-acl": "public-read",
    }
    with web() as http:
        told = {name: http.put(url, content=archive, headers={name: value}) for name, value in unsigned.items()}
    heeded = [f"`{name}`: {got.status_code}" for name, got in told.items() if got.status_code != 403]
    if client.get_object(**theirs)["Body"].read() != b"theirs":
        heeded.append("another object was overwritten")
    if answer(client.head_object, **own)[0] == 200 and client.get_object(**own)["Body"].read() == b"theirs":
        heeded.append("another object was copied")
    return Finding(not heeded, ", ".join(heeded))


PROBES = {
    "PUT only if absent (`If-None-Match: *`), one of eight at once": writes_only_if_absent,
    "complete an upload only if absent": completes_only_if_absent,
    "DELETE only if unchanged (`If-Match`)": deletes_only_if_unchanged,
    "lifecycle rule `AbortIncompleteMultipartUpload`": ends_old_uploads_itself,
    "list uploads by prefix": lists_uploads_by_prefix,
    "list the parts of an upload": lists_parts,
    "`//` in a key": keeps_empty_names,
    "both `x` and `x/y` as keys": keeps_a_key_below_a_key,
    "delete many keys in one request, without Content-MD5": deletes_many_at_once,
    "CRC32 of a write checked and kept": keeps_checksums,
    "presigned PUT: headers `x-amz-…` that were not signed are refused": refuses_what_was_not_signed,
    "virtual-host style": takes_the_bucket_from_the_host,
}
