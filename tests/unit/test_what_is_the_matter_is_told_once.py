"""Whatever is the matter with a launched job is told on it, in the log and in a metric: once, and not at every look."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from vidette_controller.diagnose import diagnose
from vidette_controller.explaining import Explainer, note_of
from vidette_core.ports.launcher import LaunchedJob, LaunchPhase, LaunchSpec, Pod
from vidette_core.telemetry.metrics import REGISTRIES, Service
from vidette_core.testing.launcher import FakeLauncher

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
NAME = "vidette-1-a1"
BACK_OFF = Pod(
    f"{NAME}-0-abcde",
    created_at=NOW - timedelta(minutes=3),
    reason="ImagePullBackOff",
    message='Back-off pulling image "worker:typo"',
)


async def launched_in(launcher: FakeLauncher, *pods: Pod) -> LaunchedJob:
    job = await launcher.create(LaunchSpec(NAME, UUID(int=1), 1, "spec", {}))
    return replace(job, pods=pods, phase=LaunchPhase.PENDING, created_at=NOW - timedelta(minutes=3))


def counted(finding: str) -> float:
    return (
        REGISTRIES[Service.CONTROLLER].get_sample_value("vidette_controller_diagnoses_total", {"finding": finding}) or 0
    )


async def test_a_pod_that_waits_for_its_image_is_told_on_the_job_once_with_what_to_do() -> None:
    launcher, before = FakeLauncher(), counted("image_pull")
    explainer, job = Explainer(launcher), await launched_in(launcher, BACK_OFF)
    for _ in range(3):
        await explainer.explain([job], NOW)
    ((name, note),) = launcher.notes
    assert (name, note.reason, note.warning) == (NAME, "ImagePull", True)
    assert "worker:typo" in note.sentence
    assert "kubectl" in note.sentence
    assert counted("image_pull") == before + 1


async def test_the_same_in_other_words_is_no_news() -> None:
    """A quota's message has another name and other figures with each try."""
    launcher = FakeLauncher()
    explainer, job = Explainer(launcher), await launched_in(launcher)
    for used in (3, 4, 5):
        refusal = f'pods "{NAME}-0-x{used}" is forbidden: exceeded quota: full, used: pods={used}'
        await explainer.explain([replace(job, refusal=refusal)], NOW)
    ((_, note),) = launcher.notes
    assert note.reason == "Quota"


async def test_the_same_of_another_pod_is_news() -> None:
    launcher = FakeLauncher()
    explainer, job = Explainer(launcher), await launched_in(launcher, BACK_OFF)
    await explainer.explain([job], NOW)
    await explainer.explain([replace(job, pods=(replace(BACK_OFF, name=f"{NAME}-0-fghij"),))], NOW)
    assert len(launcher.notes) == 2


async def test_of_what_is_gone_or_healthy_nothing_is_told() -> None:
    launcher = FakeLauncher()
    explainer, job = Explainer(launcher), await launched_in(launcher, BACK_OFF)
    healthy = replace(job, phase=LaunchPhase.RUNNING, pods=(Pod(f"{NAME}-0-abcde", started_at=NOW, created_at=NOW),))
    await explainer.explain([healthy, replace(job, retired=True)], NOW)
    await explainer.explain([], NOW)
    assert launcher.notes == []


async def test_many_at_once_are_told_bit_by_bit_and_none_is_forgotten() -> None:
    launcher = FakeLauncher()
    explainer, job = Explainer(launcher), await launched_in(launcher, BACK_OFF)
    jobs = [replace(job, uid=str(uuid4())) for _ in range(50)]
    before, rounds = counted("image_pull"), 0
    while counted("image_pull") < before + 50:
        rounds += 1
        await explainer.explain(jobs, NOW)
        assert rounds < 10
    assert rounds > 1


async def test_a_launcher_that_is_away_keeps_nobody_from_explaining() -> None:
    launcher = FakeLauncher()
    explainer, job = Explainer(launcher), await launched_in(launcher, BACK_OFF)
    launcher.available = False
    await explainer.explain([job], NOW)
    assert launcher.notes == []


async def test_a_note_is_never_longer_than_an_event_may_be_and_keeps_its_remedy() -> None:
    wordy = replace(BACK_OFF, message="x" * 5000)
    diagnosis = diagnose(await launched_in(FakeLauncher(), wordy), NOW)
    assert diagnosis is not None
    note = note_of(replace(diagnosis, sentence="s" * 1024))
    assert len(note.sentence) <= 1024
    assert note.sentence.endswith(diagnosis.remedy)
