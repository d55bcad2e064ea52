"""What `helm test` runs: a known clip goes in, its pod is deleted under way, and every frame has to come out right, twice.

Python's standard library only: it runs in the image of the models, beside the clip. Ends with 1 and a sentence when something
is wrong.
"""

from __future__ import annotations

import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import Any

API = os.environ["VIDETTE_URL"]
PIPELINE = os.environ["VIDETTE_TEST_PIPELINE"]
COMPARES = os.environ["VIDETTE_TEST_COMPARES"] == "true"
NAMESPACE = os.environ["VIDETTE_TEST_NAMESPACE"]
STRIDE = 5
SAMPLE = files("vidette_models.demo")
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
FOUND = 0.8
"""Of the objects that were drawn: some hide behind others."""
TRIES = 3
VERIFIED = 5
"""Frames that are analysed twice: on a CPU each takes a second."""
Json = dict[str, Any]


class Wrong(Exception):
    """The test has failed; the message says why."""


def asked(request: urllib.request.Request | str, context: ssl.SSLContext | None = None) -> Json:
    with urllib.request.urlopen(request, timeout=60, context=context) as answer:
        told: Json = json.load(answer)
    return told


def submit() -> str:
    mark = "----vidette"
    fields = {"pipeline_id": PIPELINE, "frame_stride": str(STRIDE)}
    body = b"".join(
        f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    )
    body += f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="sample.mp4"\r\n\r\n'.encode()
    body += SAMPLE.joinpath("sample.mp4").read_bytes() + f"\r\n--{mark}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={mark}"}
    job_id: str = asked(urllib.request.Request(f"{API}/video/submit", body, headers))["job_id"]
    return job_id


def status(job_id: str) -> Json:
    return asked(f"{API}/video/status/{job_id}")


def kubernetes(method: str, path: str) -> Json:
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    token = (ACCOUNT / "token").read_text()
    request = urllib.request.Request(
        f"https://{f'[{host}]' if ':' in host else host}:{port}/api/v1/namespaces/{NAMESPACE}{path}",
        method=method,
        headers={"Authorization": f"Bearer {token}"},
    )
    return asked(request, ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt")))


def pods(job_id: str) -> list[Json]:
    items: list[Json] = kubernetes("GET", f"/pods?labelSelector=vidette.dev/job-id%3D{job_id}")["items"]
    return items


def lose_a_pod(job_id: str) -> bool:
    """Delete the pod as soon as it runs. False if the video was over before."""
    while status(job_id)["status"] in ("pending", "running"):
        for pod in pods(job_id):
            if pod["status"]["phase"] == "Running":
                kubernetes("DELETE", f"/pods/{pod['metadata']['name']}")
                print(f"deleted {pod['metadata']['name']} under way", flush=True)
                return True
        time.sleep(0.5)
    return False


def ended(job_id: str) -> None:
    while (told := status(job_id))["status"] in ("pending", "running"):
        time.sleep(1)
    if told["status"] != "completed":
        raise Wrong(f"the video {told['status']}: {told.get('error')}")


def verify(job_id: str) -> None:
    """Some of its frames, drawn at random, are decoded and analysed once more."""
    request = urllib.request.Request(f"{API}/video/verify/{job_id}?frames={VERIFIED}", method="POST")
    verification = asked(request)["job_id"]
    ended(verification)
    found = asked(f"{API}/video/verification/{verification}")
    if found["different"] or not found["frames"]:
        raise Wrong(f"of {found['frames']} frames {found['different']} came out otherwise: {found['differences'][:1]}")
    print(f"{found['frames']} frames came out again as they are stored", flush=True)


def compare(rows: list[Json]) -> None:
    truth = json.loads(SAMPLE.joinpath("sample.json").read_text())
    numbers = [row["frame_index"] for row in rows]
    wanted = list(range(0, len(truth["frames"]), STRIDE))
    if numbers != wanted:
        raise Wrong(f"frames {wanted} were asked for, and {numbers} came")
    if not COMPARES:
        return
    drawn: Counter[str] = Counter()
    found: Counter[str] = Counter()
    for row in rows:
        objects = Counter(entry["label"] for entry in truth["frames"][row["frame_index"]]["objects"])
        drawn += objects
        found += objects & Counter(entry["label"] for entry in row["result"]["detections"])
        for caption in truth["captions"]:
            if caption["text"] not in row["result"]["text"]:
                raise Wrong(
                    f"frame {row['frame_index']} shows {caption['text']!r}, and {row['result']['text']!r} was read"
                )
    if found.total() < FOUND * drawn.total():
        raise Wrong(f"of {dict(drawn)} only {dict(found)} were found")
    print(f"found {found.total()} of {drawn.total()} objects, and every line of text", flush=True)


def main() -> None:
    for _ in range(TRIES):
        job_id = submit()
        print(f"submitted {job_id}", flush=True)
        lost = lose_a_pod(job_id)
        ended(job_id)
        compare(asked(f"{API}/video/results/{job_id}")["results"])
        if lost:
            verify(job_id)
            print("every frame is there once", flush=True)
            return
        print("it was over before its pod could be deleted; once more", flush=True)
    raise Wrong(f"no pod could be deleted under way in {TRIES} tries")


if __name__ == "__main__":
    try:
        main()
    except Wrong as wrong:
        sys.exit(str(wrong))
    except urllib.error.HTTPError as error:
        sys.exit(f"{error.url} answered {error.code}: {error.read(500).decode(errors='replace')}")
    except OSError as error:
        sys.exit(f"something did not answer: {error}")
