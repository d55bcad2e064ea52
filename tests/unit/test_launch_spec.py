"""What the controller hands to a worker: all that its settings need, as the installation set it, and the same every time."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from uuid import UUID

from pydantic import SecretStr

from vidette_controller.launch import Template, launch_of, spec_of
from vidette_core.settings import LogSettings, TokenSettings, VideoLimitSettings, WorkerTuning, as_environment
from vidette_core.tokens import Tokens

JOB = UUID(int=7)
BEGUN = datetime.now(UTC)
TOKENS = Tokens(TokenSettings(secret=SecretStr("s" * 40)))
TUNING = as_environment(WorkerTuning(in_flight=9, patience_s=12)) | as_environment(VideoLimitSettings(frames=5))
TEMPLATE = Template("http://gateway:1", "triton:2", TUNING | as_environment(LogSettings(level="DEBUG")))
READ = """
from vidette_core.settings import LogSettings, VideoLimitSettings
from vidette_frame_worker.settings import WorkerSettings
worker = WorkerSettings()
print(worker.job_id, worker.gateway_url, worker.triton_url, worker.in_flight, worker.patience_s)
print(VideoLimitSettings().frames, LogSettings().level)
"""


def test_a_worker_reads_from_its_spec_what_was_set_on_the_controller() -> None:
    spec = spec_of(TEMPLATE, TOKENS, JOB, 3, BEGUN)
    environment = {**spec.env, **spec.secrets, "VIDETTE_POD_NAME": "pod", "PATH": os.environ["PATH"]}
    told = subprocess.run([sys.executable, "-c", READ], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.splitlines() == [f"{JOB} http://gateway:1 triton:2 9 12.0", "5 DEBUG"]
    assert TOKENS.read_job_token(spec.secrets["VIDETTE_JOB_TOKEN"]) == (JOB, 3)


def test_every_controller_makes_the_same_spec_and_never_shows_its_token() -> None:
    spec = spec_of(TEMPLATE, TOKENS, JOB, 3, BEGUN)
    assert spec == spec_of(TEMPLATE, TOKENS, JOB, 3, BEGUN)
    assert spec.name == launch_of(TEMPLATE, JOB, 3).name == f"vidette-{JOB}-a3"
    assert spec.secrets["VIDETTE_JOB_TOKEN"] not in repr(spec)


def test_another_tuning_is_another_template() -> None:
    other = Template("http://gateway:1", "triton:2", as_environment(WorkerTuning()))
    assert launch_of(other, JOB, 1).spec_hash != launch_of(TEMPLATE, JOB, 1).spec_hash
