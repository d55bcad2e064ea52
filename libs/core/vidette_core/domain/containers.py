"""Which container a file is, from its first bytes alone, whatever its name says.

An upload is accepted or refused by this, and the demuxer is forced to the answer: nothing ever probes. So a playlist or a
picture in disguise is refused here, and could not be opened as what it is later.

Sources: ISO/IEC 14496-12 §4.2 (boxes) and §4.3 (`ftyp`); Apple, QuickTime File Format (`wide`, files without `ftyp`);
Microsoft, AVI RIFF File Reference.
"""

from __future__ import annotations

import struct
from enum import StrEnum


class Container(StrEnum):
    """The containers that Vidette reads. The value is the name under which FFmpeg knows the demuxer."""

    MOV = "mov"
    """ISO base media files (MP4, M4V, 3GP, …) and QuickTime."""
    AVI = "avi"


SNIFF_BYTES = 20
"""How many of the first bytes `sniff` looks at: a 64-bit box header and a brand."""

IMAGE_BRANDS = frozenset(
    {
        *(b"mif1", b"mif2", b"miaf", b"msf1"),  # HEIF, ISO/IEC 23008-12: pictures and sequences of pictures
        *(b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"),  # HEIF coded as HEVC
        *(
            b"avci",
            b"avcs",
            b"jpeg",
            b"jpgs",
            b"vvic",
            b"vvis",
            b"j2ki",
            b"j2is",
            b"evbi",
            b"evbs",
        ),  # … as other codecs
        *(b"avif", b"avis", b"avio"),  # AVIF
        *(b"jp2 ", b"jpx ", b"jpm ", b"jxl ", b"jxs ", b"jph "),  # the JPEG families
        *(b"crx ",),  # Canon raw pictures
    }
)
"""Major brands of picture files. The major brand decides: it is the one that a file declares as its best use, so a picture
that lists `isom` as compatible stays a picture, and a video that lists `mif1` stays a video."""

_SHORT_HEADER, _LONG_HEADER = 8, 16
_LARGEST_SIZE = 2**63 - 1
_LARGEST_FTYP = 4096


def sniff(head: bytes) -> Container | None:
    """The container that `head`, the first `SNIFF_BYTES` bytes of a file (all of them if it is shorter), begins; else None.

    AVI is `RIFF`, a size and `AVI `. The MOV family begins with a box `ftyp` (not of a picture), `moov`, `mdat`, `wide`,
    `free` or `skip` whose size is possible: at least its header, 1 for "64 bits follow", or 0 for "to the end of the file"
    where that leaves a video at all.
    """
    if head[:4] == b"RIFF":
        return Container.AVI if head[8:12] == b"AVI " else None
    return Container.MOV if _begins_mov(head) else None


def _begins_mov(head: bytes) -> bool:
    if len(head) < _SHORT_HEADER:
        return False
    size, kind = struct.unpack_from(">I4s", head)
    header = _SHORT_HEADER
    if size == 1:
        if len(head) < _LONG_HEADER:
            return False
        header = _LONG_HEADER
        (size,) = struct.unpack_from(">Q", head, _SHORT_HEADER)
    elif size == 0:
        return kind in {b"moov", b"mdat"}
    if not header <= size <= _LARGEST_SIZE:
        return False
    if kind == b"ftyp":
        return _is_video_brand(head[header : header + 4]) and header + 8 <= size <= _LARGEST_FTYP
    return kind in {b"moov", b"mdat", b"wide", b"free", b"skip"}


def _is_video_brand(brand: bytes) -> bool:
    return len(brand) == 4 and brand not in IMAGE_BRANDS
