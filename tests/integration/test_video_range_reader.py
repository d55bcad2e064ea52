"""Reading a stored video over HTTP: what a failing, slow or forgetful store does to it, and how much is fetched."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.clips import read_code, write_clip
from tests.support.limits import LIMITS
from tests.support.range_server import Fault, RangeServer, range_server
from vidette_core.domain.containers import Container
from vidette_core.domain.sampling import Sampling
from vidette_core.ports.errors import Conflict, NotFound, PortError, Rejected, Unavailable
from vidette_frame_worker.video import RangeReader, Video
from vidette_frame_worker.video.range_reader import RangePolicy

QUICK = RangePolicy(
    block=1000, max_ahead=4, cached_blocks=8, read_timeout=0.3, total_timeout=0.8, first_pause=0.01, longest_pause=0.1
)
FRAMES = 300
DATA = bytes(range(256)) * 100


@pytest.fixture
def store() -> Iterator[RangeServer]:
    with range_server() as server:
        server.objects["video"] = DATA
        yield server


def reader_of(store: RangeServer, policy: RangePolicy = QUICK) -> RangeReader:
    return RangeReader(lambda: store.url("video"), policy)


def read_all(reader: RangeReader) -> bytes:
    data = b""
    while part := reader.read_at(len(data), 700):
        data += part
    return data


def test_all_bytes_arrive_once_and_in_few_requests(store: RangeServer) -> None:
    reader = reader_of(store)
    assert reader.size == len(DATA)
    assert read_all(reader) == DATA
    assert reader.bytes_fetched == len(DATA)
    assert reader.requests < 12


def test_jumping_about_fetches_only_the_blocks_asked_for(store: RangeServer) -> None:
    reader = reader_of(store)
    for offset in (20_000, 5_500, 12_300, 20_500, 25_599):
        assert reader.read_at(offset, 10) == DATA[offset : offset + 10]
    assert reader.bytes_fetched <= 5 * QUICK.block
    assert reader.read_at(len(DATA), 10) == b""


def test_what_is_kept_is_bounded_and_what_was_dropped_is_fetched_again(store: RangeServer) -> None:
    reader = reader_of(store)
    read_all(reader)
    before = reader.requests
    assert reader.read_at(0, 10) == DATA[:10]
    assert reader.requests == before + 1


@pytest.mark.parametrize("fault", [Fault.ERROR, Fault.CUT, Fault.SILENT])
def test_a_passing_fault_is_not_noticed(store: RangeServer, fault: Fault) -> None:
    reader = reader_of(store, RangePolicy(block=1000, read_timeout=0.3, total_timeout=4.0, first_pause=0.01))
    store.faults.append(fault)
    assert read_all(reader) == DATA


@pytest.mark.parametrize("fault", [Fault.ERROR, Fault.MISSING, Fault.CUT, Fault.SILENT, Fault.DRIP])
def test_a_lasting_fault_is_unavailable_within_the_time_limit(store: RangeServer, fault: Fault) -> None:
    reader = reader_of(store)
    store.faults.extend([fault] * 1000)
    began = time.monotonic()
    with pytest.raises(Unavailable):
        reader.read_at(20_000, 10)
    assert time.monotonic() - began < QUICK.total_timeout + 0.5


def test_an_object_that_stays_away_is_unavailable_within_the_time_limit(store: RangeServer) -> None:
    store.objects.clear()
    began = time.monotonic()
    with pytest.raises(Unavailable, match="does not have the video"):
        reader_of(store)
    assert QUICK.total_timeout / 2 < time.monotonic() - began < QUICK.total_timeout + 0.5


def test_a_port_where_nobody_listens_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        RangeReader(lambda: "http://127.0.0.1:1/video", QUICK)


def test_an_expired_url_is_renewed(store: RangeServer) -> None:
    given: list[str] = []

    def renew() -> str:
        given.append(f"t{len(given)}")
        return store.url("video", given[-1])

    reader = RangeReader(renew, QUICK)
    store.tokens = {"t2"}
    assert read_all(reader) == DATA
    assert given == ["t0", "t1", "t2"]


def test_a_store_that_refuses_every_url_is_not_asked_for_ever(store: RangeServer) -> None:
    store.tokens.clear()
    with pytest.raises(Rejected):
        reader_of(store)
    assert len(store.requests) == QUICK.renewals + 1


def test_a_failure_to_renew_is_raised_as_it_is() -> None:
    def gone() -> str:
        raise NotFound("the job is over")

    with pytest.raises(NotFound, match="the job is over"):
        RangeReader(gone, QUICK)


def test_a_store_that_has_just_come_back_and_does_not_know_the_object_yet_is_waited_for(store: RangeServer) -> None:
    store.faults.extend([Fault.MISSING] * 4)
    patient = RangePolicy(block=1000, total_timeout=20.0, first_pause=0.01, longest_pause=0.1)
    assert read_all(reader_of(store, patient)) == DATA


@pytest.mark.parametrize("fault", [Fault.WHOLE, Fault.SHIFTED])
def test_an_answer_with_other_bytes_than_those_asked_for_is_refused(store: RangeServer, fault: Fault) -> None:
    store.faults.append(fault)
    with pytest.raises(Rejected):
        reader_of(store)


def test_an_object_that_changes_while_it_is_read_is_a_conflict(store: RangeServer) -> None:
    reader = reader_of(store)
    store.objects["video"] = DATA + b"more"
    with pytest.raises(Conflict):
        reader.read_at(20_000, 10)


@pytest.mark.parametrize("fault", [*Fault, None])
def test_no_message_holds_the_url_or_what_the_store_said(store: RangeServer, fault: Fault | None) -> None:
    if fault is None:
        store.tokens.clear()
    store.faults.extend([fault] * 1000 if fault else [])
    with pytest.raises(PortError) as caught:
        reader_of(store)
    error: BaseException | None = caught.value
    while error is not None:
        assert "Signature" not in f"{error}"
        assert "secret" not in f"{error}"
        error = error.__cause__


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path: Path = tmp_path_factory.mktemp("clips") / "clip.mov"
    write_clip(path, "mov_mjpeg", FRAMES)
    return path.read_bytes()


def test_frames_come_over_http_as_from_a_file(store: RangeServer, clip: bytes) -> None:
    store.objects["video"] = clip
    video = Video(reader_of(store, RangePolicy(block=4096)), Container.MOV, LIMITS)
    assert [read_code(f.image) for f in video.frames(Sampling()) if f.image is not None] == list(range(FRAMES))


def test_the_index_and_a_resumed_end_do_not_fetch_the_whole_video(store: RangeServer, clip: bytes) -> None:
    store.objects["video"] = clip
    reader = reader_of(store, RangePolicy(block=4096, max_ahead=4))
    video = Video(reader, Container.MOV, LIMITS)
    assert video.index.frame_count == FRAMES
    frames = list(video.frames(Sampling(), first_sample=FRAMES - 3, stretch=8))
    assert [read_code(f.image) for f in frames if f.image is not None] == [FRAMES - 3, FRAMES - 2, FRAMES - 1]
    assert reader.bytes_fetched < len(clip) // 4


@pytest.mark.parametrize("fault", [Fault.ERROR, Fault.CUT, Fault.SILENT])
def test_a_store_that_fails_during_decoding_is_never_the_videos_fault(
    store: RangeServer, clip: bytes, fault: Fault
) -> None:
    store.objects["video"] = clip
    policy = RangePolicy(
        block=4096, max_ahead=2, cached_blocks=4, read_timeout=0.2, total_timeout=0.6, first_pause=0.01
    )
    frames = Video(reader_of(store, policy), Container.MOV, LIMITS).frames(Sampling())
    assert [next(frames).frame_index for _ in range(20)] == list(range(20))
    store.faults.extend([fault] * 1000)
    with pytest.raises(Unavailable):
        list(frames)


def test_a_store_that_fails_while_the_index_is_read_is_never_the_videos_fault(store: RangeServer, clip: bytes) -> None:
    store.objects["video"] = clip
    policy = RangePolicy(block=512, max_ahead=1, cached_blocks=2, read_timeout=0.2, total_timeout=0.4, first_pause=0.01)
    reader = reader_of(store, policy)
    store.faults.extend([Fault.ERROR] * 1000)
    with pytest.raises(Unavailable):
        Video(reader, Container.MOV, LIMITS)
