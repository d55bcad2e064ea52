"""H.264 whose frames are two field pictures each, as broadcasters code interlaced video. No encoder at hand writes such streams.

Every macroblock is stored raw (I_PCM), so an encoder is a page: ITU-T H.264, 7.3.2.1 and 7.3.2.2 (parameter sets), 7.3.3 (slice
header), 7.3.5 (macroblocks).
"""

from __future__ import annotations

import re
import struct

import av
import numpy as np
from numpy.typing import NDArray

from tests.support.clips import HEIGHT, WIDTH, draw_code

_ACROSS, _DOWN = 20, 12
"""Macroblocks of 16 x 16: 320 x 192, of which the lowest 12 rows are cropped away."""
_MAIN_PROFILE, _LEVEL = 77, 40
_FRAME_NUMBER_BITS = 8
_I_SLICE, _I_PCM = 7, 25

Plane = NDArray[np.uint8]


class _Bits:
    def __init__(self) -> None:
        self._whole = bytearray()
        self._rest = ""

    def put(self, count: int, value: int) -> None:
        self._rest += f"{value:0{count}b}"

    def golomb(self, *values: int) -> None:
        for value in values:
            self.put(2 * (value + 1).bit_length() - 1, value + 1)

    def align(self) -> None:
        self._rest += "0" * (-len(self._rest) % 8)
        self._whole += bytes(int(self._rest[at : at + 8], 2) for at in range(0, len(self._rest), 8))
        self._rest = ""

    def append(self, aligned: bytes) -> None:
        self._whole += aligned

    def end(self) -> bytes:
        """With the stop bit, and bytes put in where a start code would appear otherwise (7.4.1)."""
        self.put(1, 1)
        self.align()
        return re.sub(rb"\x00\x00(?=[\x00-\x03])", b"\x00\x00\x03", bytes(self._whole))


def configuration() -> bytes:
    """The AVCDecoderConfigurationRecord that belongs to the pictures: what an `avcC` box holds (ISO/IEC 14496-15, 5.3.3.1)."""
    sequence, picture = _sequence_parameters(), _picture_parameters()
    head = bytes([1, _MAIN_PROFILE, 0, _LEVEL, 0xFF, 0xE1])
    return head + struct.pack(">H", len(sequence)) + sequence + b"\x01" + struct.pack(">H", len(picture)) + picture


def fields(number: int) -> tuple[bytes, bytes]:
    """The top and the bottom field of a frame that shows `number`: a NAL unit each, behind its size."""
    padded = np.zeros((16 * _DOWN, WIDTH, 3), np.uint8)
    padded[:HEIGHT] = draw_code(number)
    stored = av.VideoFrame.from_ndarray(padded, format="rgb24").reformat(format="yuv420p").to_ndarray()
    luma, blue, red = np.split(stored.reshape(-1), [16 * _DOWN * WIDTH, 20 * _DOWN * WIDTH])
    planes = (luma.reshape(-1, WIDTH), blue.reshape(-1, WIDTH // 2), red.reshape(-1, WIDTH // 2))
    top, bottom = (
        _field([np.asarray(plane[parity::2], np.uint8) for plane in planes], number, parity) for parity in (0, 1)
    )
    return top, bottom


def _sequence_parameters() -> bytes:
    bits = _Bits()
    bits.put(24, _MAIN_PROFILE << 16 | _LEVEL)
    bits.golomb(0, _FRAME_NUMBER_BITS - 4)
    bits.golomb(2, 1)  # shown in decode order; one reference frame
    bits.put(1, 0)
    bits.golomb(_ACROSS - 1, _DOWN // 2 - 1)
    bits.put(3, 0b001)  # not only frames, no mixing within a frame, direct_8x8_inference_flag
    bits.put(1, 1)
    bits.golomb(0, 0, 0, (16 * _DOWN - HEIGHT) // 4)  # cropping: a unit is four rows of an interlaced frame
    bits.put(1, 0)
    return b"\x67" + bits.end()


def _picture_parameters() -> bytes:
    bits = _Bits()
    bits.golomb(0, 0)
    bits.put(2, 0)  # CAVLC
    bits.golomb(0, 0, 0)
    bits.put(3, 0)
    bits.golomb(0, 0, 0)
    bits.put(3, 0b100)  # slices say whether they are deblocked
    return b"\x68" + bits.end()


def _field(planes: list[Plane], number: int, parity: int) -> bytes:
    """The first field of a frame is an IDR picture; its second may not be (7.4.1.2.4)."""
    bits = _Bits()
    bits.golomb(0, _I_SLICE, 0)
    bits.put(_FRAME_NUMBER_BITS, 0)
    bits.put(2, 0b10 | parity)  # field_pic_flag, bottom_field_flag
    if parity == 0:
        bits.golomb(number % 2)
        bits.put(2, 0)
    else:
        bits.put(1, 0)
    bits.golomb(0, 1)  # slice_qp_delta, no deblocking
    for row in range(_DOWN // 2):
        for column in range(_ACROSS):
            bits.golomb(_I_PCM)
            bits.align()
            for plane, size in zip(planes, (16, 8, 8), strict=True):
                block = plane[row * size : (row + 1) * size, column * size : (column + 1) * size]
                bits.append(np.maximum(block, 1).tobytes())  # zero is forbidden
    unit = bytes([0x65 if parity == 0 else 0x21]) + bits.end()
    return struct.pack(">I", len(unit)) + unit
