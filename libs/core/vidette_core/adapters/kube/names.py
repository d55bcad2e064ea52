"""The labels and annotations that Vidette puts on its Jobs, pods and Secrets, each named once.

Labels are what selectors use. Every selector carries RELEASE, so that two installations in one namespace never touch each other.
"""

from __future__ import annotations

RELEASE = "vidette.dev/release"
JOB_ID = "vidette.dev/job-id"
ATTEMPT = "vidette.dev/attempt"
PIPELINE = "vidette.dev/pipeline"
SPEC_HASH = "vidette.dev/spec-hash"
"""Annotation: the template that the Job was made from."""
STATUS_URL = "vidette.dev/status-url"
"""Annotation: where to ask the api about the job."""
COMPONENT = "frame-worker"
"""Of `app.kubernetes.io/component`."""
WORKER = "worker"
"""The container that works, whatever else a platform team puts beside it."""
