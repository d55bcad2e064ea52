"""Which packets begin a picture of their own: containers list packets, and not every packet is a frame.

MPEG-4 part 2: a packet may hold two pictures, with a placeholder behind it ("packed bitstream", as DivX wrote it), or a picture
that is not coded and means "the last one again". H.264: each of the two fields of a frame may lie in a packet of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from vidette_frame_worker.video.bits import Bits


class Holds(Enum):
    """Pictures that begin in a packet. Of TWO the decoder gives back the second for the placeholder behind, which holds ONE."""

    NONE = 0
    ONE = 1
    TWO = 2


class CodedPictures(Protocol):
    """Told one packet after the other, in decode order, from any key frame on."""

    def look(self, packet: bytes, /) -> Holds: ...


class OneInEach:
    """For codecs whose containers keep to it."""

    def look(self, _packet: bytes, /) -> Holds:
        return Holds.ONE


def coded_pictures(codec: str, extradata: bytes) -> CodedPictures:
    """`codec` and `extradata` (the parameter sets that the container holds) as FFmpeg names and gives them."""
    match codec:
        case "mpeg4":
            return Mpeg4Pictures(extradata)
        case "h264":
            return H264Pictures(extradata)
        case _:
            return OneInEach()


_START = b"\x00\x00\x01"
_VOP = _START + b"\xb6"
_LARGEST_UNCODED_VOP = 19
"""Bytes. What is larger holds a picture, whatever its header says: FFmpeg's MAX_NVOP_SIZE."""


class Mpeg4Pictures:
    """ISO/IEC 14496-2, 6.2.3 and 6.2.5."""

    def __init__(self, extradata: bytes) -> None:
        self._time_bits = _time_increment_bits(extradata)
        self._expects_placeholder = False

    def look(self, packet: bytes, /) -> Holds:
        is_placeholder, self._expects_placeholder = self._expects_placeholder, False
        if len(packet) <= _LARGEST_UNCODED_VOP:
            return Holds.ONE if is_placeholder or self._is_coded(packet) else Holds.NONE
        self._expects_placeholder = packet.count(_VOP) > 1
        return Holds.TWO if self._expects_placeholder else Holds.ONE

    def _is_coded(self, packet: bytes) -> bool:
        at = packet.find(_VOP)
        if at < 0 or self._time_bits is None:
            return True
        bits = Bits(packet[at + len(_VOP) :])
        bits.take(2)  # vop_coding_type
        while (
            bits.flag()
        ):  # modulo_time_base: as many ones as whole seconds have passed, and behind the end there are zeros
            pass
        bits.take(1 + self._time_bits + 1)  # vop_time_increment between two markers
        return bits.flag()


def _time_increment_bits(extradata: bytes) -> int | None:
    """How many bits a VOP's time takes; None where the container does not hold the layer's header (start codes 20 to 2F)."""
    layers = (unit for unit in _between_start_codes(extradata) if 0x20 <= unit[0] <= 0x2F)
    layer = next(layers, None)
    if layer is None:
        return None
    bits = Bits(layer[1:])
    bits.take(1 + 8)  # random_accessible_vol, video_object_type_indication
    if bits.flag():  # is_object_layer_identifier
        bits.take(4 + 3)
    if bits.take(4) == 15:  # aspect_ratio_info: extended_PAR
        bits.take(8 + 8)
    if bits.flag():  # vol_control_parameters
        bits.take(2 + 1)
        if bits.flag():  # vbv_parameters
            bits.take(79)
    bits.take(2 + 1)  # video_object_layer_shape, marker
    resolution = bits.take(16)  # vop_time_increment_resolution
    return max(1, (resolution - 1).bit_length())


_SLICE, _IDR_SLICE, _PARAMETERS = 1, 5, 7
_HIGH_PROFILES = {100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135}
"""Their parameter sets tell of the chroma format, the bit depth and scaling lists: ITU-T H.264, 7.3.2.1.1."""
_HEADER = 512
"""Bytes that are looked at of a parameter set or a slice: more than what is read of either can take."""


class H264Pictures:
    """ITU-T H.264, 7.4.1.2.4: a field behind one of the other parity with the same frame number is the second of a frame."""

    def __init__(self, extradata: bytes) -> None:
        self._is_avc = extradata[:1] == b"\x01"
        self._length_bytes = 1 + (extradata[4] & 3) if self._is_avc and len(extradata) > 4 else 4
        self._sequence = _Sequence()
        self._profile: bytes | None = None
        self._unpaired: _Field | None = None
        for unit in _avc_parameter_sets(extradata) if self._is_avc else _between_start_codes(extradata):
            self._learn(unit)

    def look(self, packet: bytes, /) -> Holds:
        begun: list[bool] = []
        for unit in _by_length(packet, self._length_bytes) if self._is_avc else _between_start_codes(packet):
            self._learn(unit)
            if self._sequence.has_fields and unit[0] & 31 in (_SLICE, _IDR_SLICE):
                first_macroblock, field = self._sequence.look(unit)
                if first_macroblock == 0:
                    begun.append(self._begins_a_frame(field))
        return Holds.NONE if begun and not any(begun) else Holds.ONE

    def _learn(self, unit: bytes) -> None:
        # One bit of damage makes a slice look like parameters: only such as go on with the known profile and level are believed.
        if unit and unit[0] & 31 == _PARAMETERS and self._profile in (None, unit[1:4]):
            self._profile, self._sequence = unit[1:4], _sequence(unit)

    def _begins_a_frame(self, field: _Field | None) -> bool:
        is_second = field is not None and self._unpaired == field.other
        self._unpaired = None if is_second else field
        return not is_second


@dataclass(frozen=True, slots=True)
class _Field:
    frame_number: int
    is_bottom: bool

    @property
    def other(self) -> _Field:
        return _Field(self.frame_number, not self.is_bottom)


@dataclass(frozen=True, slots=True)
class _Sequence:
    """What a sequence parameter set says that the headers of slices are read by."""

    has_fields: bool = False
    has_colour_planes: bool = False
    frame_number_bits: int = 4

    def look(self, unit: bytes) -> tuple[int, _Field | None]:
        """The number of a slice's first macroblock, and the field that it belongs to; None for a whole frame (7.3.3)."""
        bits = _header(unit)
        first_macroblock = bits.golomb()
        bits.golomb()  # slice_type
        bits.golomb()  # pic_parameter_set_id
        if self.has_colour_planes:
            bits.take(2)
        frame_number = bits.take(self.frame_number_bits)
        return first_macroblock, _Field(frame_number, bits.flag()) if bits.flag() else None


def _sequence(unit: bytes) -> _Sequence:
    """ITU-T H.264, 7.3.2.1.1, as far as frame_mbs_only_flag."""
    bits = _header(unit)
    profile, has_colour_planes = bits.take(8), False
    bits.take(8 + 8)  # constraint flags, level_idc
    bits.golomb()  # seq_parameter_set_id
    if profile in _HIGH_PROFILES:
        chroma_format = bits.golomb()
        has_colour_planes = chroma_format == 3 and bits.flag()
        bits.golomb(), bits.golomb()  # bit_depth_luma_minus8, bit_depth_chroma_minus8
        bits.take(1)  # qpprime_y_zero_transform_bypass_flag
        if bits.flag():  # seq_scaling_matrix_present_flag
            for number in range(12 if chroma_format == 3 else 8):
                _skip_scaling_list(bits, 16 if number < 6 else 64)
    frame_number_bits = 4 + min(12, bits.golomb())
    match bits.golomb():  # pic_order_cnt_type
        case 0:
            bits.golomb()
        case 1:
            bits.take(1)
            bits.golomb(), bits.golomb()
            for _ in range(min(255, bits.golomb())):
                bits.golomb()
    bits.golomb()  # max_num_ref_frames
    bits.take(1)  # gaps_in_frame_num_value_allowed_flag
    bits.golomb(), bits.golomb()  # width and height in macroblocks
    return _Sequence(not bits.flag(), has_colour_planes, frame_number_bits)


def _skip_scaling_list(bits: Bits, size: int) -> None:
    """7.3.2.1.1.1"""
    if not bits.flag():
        return
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed_golomb()) % 256
        last = following or last


def _header(unit: bytes) -> Bits:
    """The begin of a NAL unit behind its first byte, without the bytes that keep start codes out of it (7.4.1)."""
    return Bits(unit[1:_HEADER].replace(b"\x00\x00\x03", b"\x00\x00"))


def _avc_parameter_sets(extradata: bytes) -> Iterator[bytes]:
    """The sequence parameter sets of an AVCDecoderConfigurationRecord: ISO/IEC 14496-15, 5.3.3.1."""
    at = 6
    for _ in range(extradata[5] & 31 if len(extradata) > 5 else 0):
        size = int.from_bytes(extradata[at : at + 2], "big")
        yield extradata[at + 2 : at + 2 + size]
        at += 2 + size


def _by_length(packet: bytes, length_bytes: int) -> Iterator[bytes]:
    """NAL units, each behind its size."""
    at = 0
    while at + length_bytes < len(packet):
        size = int.from_bytes(packet[at : at + length_bytes], "big")
        at += length_bytes
        if size == 0:
            continue
        yield packet[at : at + size]
        at += size


def _between_start_codes(data: bytes) -> Iterator[bytes]:
    """What follows each start code, up to the next (ITU-T H.264, annex B; ISO/IEC 14496-2, 6.2.1)."""
    for unit in data.split(_START)[1:]:
        if unit:
            yield unit
