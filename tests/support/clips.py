"""Small videos whose frames say which frame they are, so that tests can know the truth without trusting a decoder's counter.

The number of a frame is drawn as black and white blocks (`draw_code`), large enough to survive H.264 and a letterbox to
160x160. Every kind of clip is 320x180 *as displayed*. `write_clip` returns the numbers of the frames that a player shows, in
the order in which it shows them: that is what a test compares with.

The code: a grid of ROWS x COLUMNS blocks of BLOCK pixels, its top left corner at (LEFT, TOP), on a grey ground. Block
(row, column) is white for 1. Row 0 holds bits 15..8 of the number, row 1 bits 7..0, row 2 the check byte
`(3 * high + low + CHECK) % 256`, most significant bit left: a picture that is mirrored or upside down fails the check. The same
number stands below it in digits, for people.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.audio.stream import AudioStream
from av.video.stream import VideoStream
from numpy.typing import NDArray

from tests.support.mp4_surgery import cut_off_avi_index, set_edit_list

Image = NDArray[np.uint8]

WIDTH, HEIGHT = 320, 180
ROWS, COLUMNS, BLOCK = 3, 8, 32
LEFT, TOP = (WIDTH - COLUMNS * BLOCK) // 2, (HEIGHT - ROWS * BLOCK) // 2
CHECK = 0xA6
GREY, BLACK, WHITE = 128, 16, 235
TICKS = 1000
"""Time base of the clips with a variable rate: 1/1000 s."""
SOUND_RATE = 16_000


@dataclass(frozen=True, slots=True)
class ClipKind:
    """How one kind of clip is made. `ffmpeg` are options of the encoder, `muxer` of the container's writer."""

    container: str = "mp4"
    codec: str = "libx264"
    ffmpeg: dict[str, str] = field(default_factory=dict)
    muxer: dict[str, str] = field(default_factory=dict)
    variable_rate: bool = False
    equal_timestamps: bool = False
    rotation: int = 0
    mirrored: bool = False
    edits: tuple[tuple[Fraction, Fraction | None], ...] = ()
    """Of the whole clip: how much of it is shown, and from where on; None for a pause before it."""
    keep: float = 1.0
    pixels: str = "yuv420p"
    aspect: Fraction | None = None
    """Of one pixel, width to height."""
    starts_s: int = 0
    """When the first frame is shown."""
    sound_first: bool = False
    """A sound track that is written before the pictures'."""
    index: bool = True
    """Only of AVI: whether the list of frames behind the pictures is there."""
    second_video: bool = False
    """Another video track behind the first, which shows other numbers."""


X264 = {"preset": "ultrafast", "crf": "18", "threads": "1"}
B_FRAMES = {
    "bf": "3",
    "b_strategy": "0",
    "g": "24",
    "x264-params": "b-pyramid=normal:keyint=24:min-keyint=24:scenecut=0",
}
OPEN_GOP = {"bf": "3", "b_strategy": "0", "x264-params": "open-gop=1:keyint=12:min-keyint=12:scenecut=0"}
X265 = {
    "preset": "ultrafast",
    "x265-params": "open-gop=1:keyint=12:min-keyint=12:scenecut=0:bframes=3:b-adapt=0:pools=1:log-level=none",
}
CLOSED_265 = "open-gop=0:keyint=24:min-keyint=24:scenecut=0:bframes=4:b-pyramid=1:pools=1:log-level=none"
VP9 = {
    "deadline": "realtime",
    "cpu-used": "8",
    "g": "24",
    "lag-in-frames": "16",
    "auto-alt-ref": "1",
    "crf": "20",
    "b": "0",
}
AV1 = {"preset": "8", "crf": "10", "g": "24", "svtav1-params": "lp=1"}
"""One thread: with several, the encoder gives other bytes each time, and at a quick preset pictures that no decoder takes."""
MOOV_FIRST = {"movflags": "faststart"}
SHORT_GOP = {"g": "12"}

KINDS: dict[str, ClipKind] = {
    "mp4_bframes": ClipKind(ffmpeg=X264 | B_FRAMES),
    "mp4_one_key_frame": ClipKind(ffmpeg=X264 | B_FRAMES | {"g": "9999", "x264-params": "keyint=9999:scenecut=0"}),
    "mp4_vfr": ClipKind(ffmpeg=X264 | B_FRAMES, variable_rate=True),
    "mp4_open_gop": ClipKind(ffmpeg=X264 | OPEN_GOP),
    "mp4_hevc_open_gop": ClipKind(codec="libx265", ffmpeg=X265),
    "mp4_edit_list": ClipKind(ffmpeg=X264 | B_FRAMES, muxer=MOOV_FIRST, edits=((Fraction(1, 2), Fraction(1, 5)),)),
    "mp4_edit_delay": ClipKind(ffmpeg=X264 | B_FRAMES, edits=((Fraction(1, 4), None), (Fraction(1), Fraction(0)))),
    "mp4_edit_repeat": ClipKind(ffmpeg=X264 | B_FRAMES, edits=((Fraction(1, 5), Fraction(1, 10)),) * 2),
    "mp4_edit_backwards": ClipKind(
        ffmpeg=X264 | B_FRAMES, edits=((Fraction(3, 10), Fraction(1, 2)), (Fraction(3, 10), Fraction(1, 10)))
    ),
    "mp4_edit_overlap": ClipKind(
        ffmpeg=X264 | B_FRAMES, edits=((Fraction(1, 7), Fraction(2, 7)), (Fraction(1, 7), Fraction(1, 14)))
    ),
    "mp4_rotated": ClipKind(ffmpeg=X264 | SHORT_GOP, rotation=90),
    "mp4_mirrored": ClipKind(ffmpeg=X264 | SHORT_GOP, mirrored=True),
    "mp4_equal_timestamps": ClipKind(ffmpeg=X264 | SHORT_GOP | {"bf": "0"}, equal_timestamps=True),
    "mp4_fragmented": ClipKind(ffmpeg=X264 | B_FRAMES, muxer={"movflags": "frag_keyframe+empty_moov"}),
    "mp4_truncated": ClipKind(ffmpeg=X264 | B_FRAMES, muxer=MOOV_FIRST, keep=0.6),
    "mp4_rotated_180": ClipKind(ffmpeg=X264 | SHORT_GOP, rotation=180),
    "mp4_rotated_270": ClipKind(ffmpeg=X264 | SHORT_GOP, rotation=270),
    "mp4_mirrored_rotated": ClipKind(ffmpeg=X264 | SHORT_GOP, rotation=90, mirrored=True),
    "mp4_anamorphic": ClipKind(ffmpeg=X264 | B_FRAMES, aspect=Fraction(4, 3)),
    "mp4_starts_late": ClipKind(ffmpeg=X264 | B_FRAMES, starts_s=3),
    "mp4_starts_early": ClipKind(ffmpeg=X264 | B_FRAMES, starts_s=-1, muxer={"avoid_negative_ts": "disabled"}),
    "mp4_no_edits": ClipKind(ffmpeg=X264 | B_FRAMES, muxer={"use_editlist": "0", "movflags": "negative_cts_offsets"}),
    "mp4_full_range": ClipKind(ffmpeg=X264 | B_FRAMES, pixels="yuvj420p"),
    "mp4_interlaced": ClipKind(
        ffmpeg=X264 | {"flags": "+ilme+ildct", "x264-params": "interlaced=1:keyint=24:scenecut=0"}
    ),
    "mp4_sound_first": ClipKind(ffmpeg=X264 | B_FRAMES, sound_first=True),
    "mp4_two_videos": ClipKind(ffmpeg=X264 | B_FRAMES, second_video=True),
    "mp4_hevc_10bit": ClipKind(codec="libx265", ffmpeg=X265 | {"x265-params": CLOSED_265}, pixels="yuv420p10le"),
    "mp4_vp9": ClipKind(codec="libvpx-vp9", ffmpeg=VP9),
    "mp4_av1": ClipKind(codec="libsvtav1", ffmpeg=AV1),
    "mp4_mpeg4": ClipKind(codec="mpeg4", ffmpeg=SHORT_GOP | {"bf": "2", "qmin": "3", "qmax": "5"}),
    "mov_prores": ClipKind(container="mov", codec="prores_ks", pixels="yuv422p10le"),
    "mov": ClipKind(container="mov", ffmpeg=X264 | B_FRAMES),
    "mov_mjpeg": ClipKind(container="mov", codec="mjpeg", ffmpeg={"q": "3"}, pixels="yuvj420p"),
    "avi": ClipKind(container="avi", codec="mpeg4", ffmpeg=SHORT_GOP | {"qmin": "3", "qmax": "5"}),
    "avi_without_index": ClipKind(
        container="avi", codec="mpeg4", ffmpeg=SHORT_GOP | {"qmin": "3", "qmax": "5"}, index=False
    ),
    "avi_mjpeg": ClipKind(container="avi", codec="mjpeg", ffmpeg={"q": "3"}, pixels="yuvj420p"),
    "avi_bframes": ClipKind(container="avi", codec="mpeg4", ffmpeg=SHORT_GOP | {"bf": "2", "qmin": "3", "qmax": "5"}),
    "avi_h264": ClipKind(container="avi", ffmpeg=X264 | B_FRAMES),
    "avi_truncated": ClipKind(container="avi", codec="mpeg4", ffmpeg=SHORT_GOP | {"qmin": "3", "qmax": "5"}, keep=0.6),
}
TRUNCATED = ("mp4_truncated", "avi_truncated")


def draw_code(number: int) -> Image:
    """A WIDTH x HEIGHT picture, RGB, that carries `number` (0..65535), twice."""
    image = np.full((HEIGHT, WIDTH, 3), GREY, np.uint8)
    high, low = number >> 8, number & 0xFF
    for row, byte in enumerate((high, low, _check(high, low))):
        for column in range(COLUMNS):
            y, x = TOP + row * BLOCK, LEFT + column * BLOCK
            image[y : y + BLOCK, x : x + BLOCK] = WHITE if byte >> (7 - column) & 1 else BLACK
    _draw_digits(image, number, 0.9, BLACK)
    return image


def _draw_digits(image: Image, number: int, scale: float, shade: int, centre: float | None = None) -> None:
    """In the middle of a row whose middle is `centre` of the height; below the code, unless told otherwise."""
    height, width = image.shape[:2]
    thickness, font = max(2, round(2 * scale)), cv2.FONT_HERSHEY_SIMPLEX
    (text_width, text_height), _ = cv2.getTextSize(str(number), font, scale, thickness)
    middle = (TOP + ROWS * BLOCK + HEIGHT) / 2 / HEIGHT if centre is None else centre
    corner = ((width - text_width) // 2, round(middle * height + text_height / 2))
    cv2.putText(image, str(number), corner, font, scale, (shade,) * 3, thickness, cv2.LINE_AA)


def read_code(image: Image) -> int:
    """The number in a picture of WIDTH x HEIGHT, RGB. Raises ValueError where there is none: a wrong size, a wrong check."""
    if image.shape != (HEIGHT, WIDTH, 3):
        raise ValueError(f"a coded picture is {HEIGHT}x{WIDTH}x3, not {image.shape}")
    ys = TOP + BLOCK // 2 + BLOCK * np.arange(ROWS)
    xs = LEFT + BLOCK // 2 + BLOCK * np.arange(COLUMNS)
    centres = image.mean(axis=2)[np.ix_(ys, xs)]
    high, low, check = (int(byte) for byte in np.packbits(centres > GREY, axis=1)[:, 0])
    if check != _check(high, low):
        raise ValueError("the picture carries no number")
    return high << 8 | low


def _check(high: int, low: int) -> int:
    return (3 * high + low + CHECK) % 256


def write_clip(
    path: Path,
    kind: str | ClipKind,
    frames: int,
    *,
    fps: int = 25,
    audio: bool = False,
    seed: int = 1,
    moov_first: bool = False,
) -> list[int]:
    """Write a clip of `kind`, or of the one of KINDS that is called so. Returns the numbers shown, in the order of showing.

    `moov_first`: the file's index leads.
    For the truncated kinds the numbers are those of the whole clip: how many of them survive is for the test to say.
    """
    recipe = KINDS[kind] if isinstance(kind, str) else kind
    if moov_first and not recipe.muxer:
        recipe = replace(recipe, muxer=MOOV_FIRST)
    _encode(path, recipe, [draw_code(number) for number in range(frames)], fps, audio=audio, seed=seed)
    # What comes before zero is cut away by the list of edits that the muxer writes.
    shown = list(range(max(0, -recipe.starts_s * fps), frames))
    if recipe.edits:
        parts = [(int(share * frames), None if first is None else int(first * frames)) for share, first in recipe.edits]
        set_edit_list(
            path, [(Fraction(count, fps), None if first is None else Fraction(first, fps)) for count, first in parts]
        )
        shown = [number for count, first in parts if first is not None for number in shown[first : first + count]]
    if not recipe.index:
        cut_off_avi_index(path)
    if recipe.keep < 1:
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * recipe.keep)])
    return shown


def write_digits_clip(
    path: Path, frames: int, *, fps: int = 25, first: int = 0, size: tuple[int, int] = (640, 360)
) -> None:
    """An MP4 whose frames show their number, `first + i`, as large dark digits on a light ground, for text recognition."""
    width, height = size
    images = []
    for number in range(first, first + frames):
        image = np.full((height, width, 3), 245, np.uint8)
        _draw_digits(image, number, height / 90, 20, centre=0.5)
        images.append(image)
    _encode(path, KINDS["mp4_bframes"], images, fps, audio=False, seed=1)


def _stored(image: Image, recipe: ClipKind) -> Image:
    """The picture as it is stored, so that the display matrix turns it upright (`rotation` is counter-clockwise)."""
    if recipe.mirrored:
        image = image[:, ::-1]
    return np.ascontiguousarray(np.rot90(image, -recipe.rotation // 90))


def _encode(path: Path, recipe: ClipKind, images: Sequence[Image], fps: int, *, audio: bool, seed: int) -> None:
    with av.open(str(path), "w", format=recipe.container, options=recipe.muxer) as container:
        height, width = _stored(images[0], recipe).shape[:2]
        rate = TICKS if recipe.variable_rate else fps
        sound = [container.add_stream("aac", rate=SOUND_RATE)] if recipe.sound_first else []
        stream = _add_stream(container, recipe, rate, (width, height))
        others = [_add_stream(container, recipe, rate, (width, height))] if recipe.second_video else []
        sound += [container.add_stream("aac", rate=SOUND_RATE)] if audio else []
        for silent in sound:
            _mux_silence(container, silent, len(images) / fps)
        for timestamp, image in zip(_timestamps(recipe, len(images), fps, seed), images, strict=True):
            frame = _frame(_stored(image, recipe), timestamp + recipe.starts_s * rate, rate)
            _mux(container, stream.encode(frame), equal=recipe.equal_timestamps)
            for other in others:
                container.mux(other.encode(_frame(_stored(draw_code(40_000), recipe), frame.pts or 0, rate)))
        for written in (stream, *others):
            _mux(container, written.encode(None), equal=recipe.equal_timestamps)


def _add_stream(
    container: av.container.OutputContainer, recipe: ClipKind, rate: int, size: tuple[int, int]
) -> VideoStream:
    stream = container.add_stream(recipe.codec, rate=rate, options=dict(recipe.ffmpeg))
    assert isinstance(stream, VideoStream)
    stream.width, stream.height = size
    stream.pix_fmt = recipe.pixels
    stream.codec_context.time_base = Fraction(1, rate)
    if recipe.aspect is not None:
        stream.codec_context.sample_aspect_ratio = recipe.aspect
    if "bf" in recipe.ffmpeg:
        stream.codec_context.max_b_frames = int(recipe.ffmpeg["bf"])
    if recipe.rotation or recipe.mirrored:
        stream.set_display_rotation(recipe.rotation, hflip=recipe.mirrored)
    return stream


def _frame(image: Image, timestamp: int, rate: int) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(image, format="rgb24")
    frame.pts, frame.time_base = timestamp, Fraction(1, rate)
    return frame


def _timestamps(recipe: ClipKind, frames: int, fps: int, seed: int) -> list[int]:
    if not recipe.variable_rate:
        return list(range(frames))
    dice, now, timestamps = random.Random(seed), 0, []
    for _ in range(frames):
        timestamps.append(now)
        now += dice.choice((1, 7, 20, 40, 40, 90, 333)) * 25 // fps + 1
    return timestamps


def _mux(container: av.container.OutputContainer, packets: Iterable[av.Packet[VideoStream]], *, equal: bool) -> None:
    """`equal`: frames 2k and 2k+1 get one presentation time, that of the later one."""
    for packet in packets:
        if equal and packet.pts is not None and packet.dts is not None:
            step = packet.duration or 1
            packet.pts = (packet.pts // step | 1) * step
        container.mux(packet)


def _mux_silence(container: av.container.OutputContainer, stream: AudioStream, seconds: float) -> None:
    frame_size = 1024
    for start in range(0, max(frame_size, int(seconds * SOUND_RATE)), frame_size):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, frame_size), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = SOUND_RATE, start
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def numbered_clip(folder: Path, frames: int) -> Path:
    """An MP4 with B-frames whose frames show their own index."""
    path = folder / "clip.mp4"
    assert write_clip(path, "mp4_bframes", frames) == list(range(frames))
    return path
