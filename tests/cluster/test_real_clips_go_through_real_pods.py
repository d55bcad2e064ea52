"""The whole main job in a cluster: what comes out is, byte for byte, what comes out of the embedded stack."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.clips import numbered_clip
from tests.support.installation import Installation, eventually
from tests.support.operators_guide import followed
from tests.support.real_inputs import yolox_case
from tests.support.stacks import PIPELINE_ID, completed, numbers
from vidette.client import Client
from vidette_models.demo.sample import sample_path


@pytest.mark.parametrize("pipeline", ["yolo", "yolo_ocr"])
def test_a_clip_gives_the_same_bytes_as_in_the_embedded_stack(through: Client, client: Client, pipeline: str) -> None:
    clip = sample_path()
    in_cluster, embedded = (made.submit(clip, pipeline, frame_stride=10) for made in (through, client))
    rows = completed(through, in_cluster)
    assert completed(client, embedded) == rows
    lines = list(through.result_lines(in_cluster))
    assert len(lines) > 5
    assert lines == list(client.result_lines(embedded))
    facts, expected = through.result_facts(in_cluster), client.result_facts(embedded)
    assert (facts.models, facts.summary) == (expected.models, expected.summary)


def test_somebodys_real_video_gives_the_same_bytes_too(through: Client, client: Client, tmp_path: Path) -> None:
    video = yolox_case(tmp_path).video
    jobs = [made.submit(video, "yolo_ocr", frame_stride=8, max_frames=12) for made in (through, client)]
    for made, job in zip((through, client), jobs, strict=True):
        completed(made, job, timeout=300)
    in_cluster, embedded = (list(made.result_lines(job)) for made, job in zip((through, client), jobs, strict=True))
    assert in_cluster == embedded


def test_every_frame_is_there_once_and_the_job_leaves_what_people_need(
    vidette: Installation, through: Client, tmp_path: Path
) -> None:
    job_id = through.submit(numbered_clip(tmp_path, 90), PIPELINE_ID)
    rows = completed(through, job_id)
    assert numbers(rows) == [(index, index) for index in range(90)]
    name = f"vidette-{job_id}-a1"
    eventually(lambda: "VideoCompleted" in " ".join(vidette.events("Job", name)), "the end told on the Job")
    (job,) = vidette.jobs(job_id)
    assert job["metadata"]["name"] == name
    assert job["metadata"]["labels"]["vidette.dev/pipeline"] == PIPELINE_ID
    eventually(lambda: vidette.jobs(job_id)[0]["status"].get("succeeded") == 1, "the end of its worker by itself")
    (pod,) = vidette.pods(job_id)
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert "every sampled frame has its result" in followed("Where a video is", vidette, job_id).lower()
