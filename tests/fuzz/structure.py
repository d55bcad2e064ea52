"""Damage that knows what a container is made of: boxes that lie, are missing, stand there twice or where they do not belong."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

from tests.fuzz.chance import Dice
from tests.fuzz.noise import spoilt
from tests.fuzz.tree import Node, Tree


def _names(words: str) -> tuple[bytes, ...]:
    return tuple(word.encode().ljust(4) for word in words.split())


BOXES = _names(
    "moov moof trak mdia minf stbl traf udta edts mvex meta wave dinf tref sinf schi ilst iprp free hoov skip "
    "wide mdat ftyp uuid cmov mvhd tkhd mdhd hdlr elst stsd stts ctts stsc stsz stz2 stco co64 stss stps sdtp "
    "sbgp sgpd tfhd trun tfdt trex sidx senc saiz saio pssh tenc schm avcC hvcC av1C vpcC esds glbl colr pasp "
    "clap fiel dref alis url chap chpl keys data strf dvcC st3d sv3d mdcv clli iloc iinf infe pitm iref ispe "
    "ipma ipco grid prft tmcd gmhd rmra"
)
CHUNKS = _names(
    "RIFF LIST avih strh strf strd strn indx idx1 JUNK vprp dmlh IDIT 00dc 00db 01wb 02tx ix00 ix01 00iv GAB2 "
    "ISFT odml rec IAS8 7Fxx"
)
ENTRIES = (
    b"avc1",
    b"hvc1",
    b"mp4v",
    b"jpeg",
    b"apch",
    b"vp09",
    b"av01",
    b"raw ",
    b"rle ",
    b"SVQ3",
    b"cvid",
    b"mp4a",
    b"png ",
)
TABLES = (
    b"stts",
    b"ctts",
    b"stsc",
    b"stco",
    b"co64",
    b"stss",
    b"elst",
    b"trun",
    b"sdtp",
    b"sbgp",
    b"stsz",
    b"stz2",
    b"idx1",
)
Change = Callable[[Dice, Tree], None]


def lie_about_a_size(dice: Dice, tree: Tree) -> None:
    node = _any(dice, tree)
    node.told_size = dice.number(64 if node.wide else 32, 8 + len(node.payload))


def widen_a_size(dice: Dice, tree: Tree) -> None:
    _any(dice, tree).wide = True


def leave_out(dice: Dice, tree: Tree) -> None:
    parts, place = dice.of(tree.places())
    del parts[place]


def double(dice: Dice, tree: Tree) -> None:
    parts, place = dice.of(tree.places())
    times = dice.of((1, 1, 2, 5, 50))
    parts[place:place] = [deepcopy(parts[place]) for _ in range(times)]


def swap(dice: Dice, tree: Tree) -> None:
    (one, here), (other, there) = dice.of(tree.places()), dice.of(tree.places())
    copies = deepcopy(one[here]), deepcopy(other[there])
    other[there] = copies[0]
    if here < len(one):
        one[here] = copies[1]


def put_elsewhere(dice: Dice, tree: Tree) -> None:
    node = deepcopy(_any(dice, tree))
    folder = dice.of([tree.root, *(each for each in tree.nodes() if each.parts is not None)])
    assert folder.parts is not None
    folder.parts.insert(dice.below(len(folder.parts) + 1), node)


def wrap(dice: Dice, tree: Tree) -> None:
    parts, place = dice.of(tree.places())
    for _ in range(dice.of((1, 1, 3, 20))):
        kind = dice.of((b"LIST", b"RIFF") if tree.is_avi else BOXES[:18])
        prefix = dice.of((b"movi", b"hdrl", b"strl", b"AVI ", b"odml")) if tree.is_avi else b""
        parts[place] = Node(kind, parts=[parts[place]], prefix=prefix)


def rename(dice: Dice, tree: Tree) -> None:
    node = _any(dice, tree)
    if node.prefix and not tree.is_avi:
        node.kind = dice.of(ENTRIES)
    else:
        node.kind = dice.of(CHUNKS if tree.is_avi else BOXES)


def add(dice: Dice, tree: Tree) -> None:
    parts, place = dice.of(tree.places())
    payload = bytes(4) + dice.number(32, 1).to_bytes(4, "big") + dice.bytes(dice.of((0, 1, 4, 12, 16, 64, 300)))
    parts.insert(place, Node(dice.of(CHUNKS if tree.is_avi else BOXES), payload))


def change_a_field(dice: Dice, tree: Tree) -> None:
    """A number of 16, 32 or 64 bits, where numbers of that size stand."""
    node = _leaf(dice, tree)
    size = dice.of((2, 4, 4, 4, 8))
    body = bytearray(node.payload)
    if len(body) >= size:
        at = dice.below(len(body) // size if len(body) < 4096 else 64) * size
        order = "little" if tree.is_avi else "big"
        old = int.from_bytes(body[at : at + size], "little" if tree.is_avi else "big")
        body[at : at + size] = dice.number(8 * size, old).to_bytes(size, "little" if order == "little" else "big")
        node.payload = bytes(body[: len(node.payload)])


def change_a_prefix(dice: Dice, tree: Tree) -> None:
    """The head of a sample description: sizes of pictures, counts of entries."""
    prefixed = [node for node in tree.nodes() if node.prefix]
    if prefixed:
        node = dice.of(prefixed)
        node.prefix = spoilt(dice, node.prefix)


def change_a_version(dice: Dice, tree: Tree) -> None:
    node = _leaf(dice, tree)
    if len(node.payload) >= 4:
        node.payload = (
            bytes([dice.of((0, 1, 2, 255)), *dice.bytes(3 * dice.below(2))]).ljust(4, b"\0") + node.payload[4:]
        )


def lie_about_a_count(dice: Dice, tree: Tree) -> None:
    tables = [node for node in tree.nodes() if node.kind in TABLES and len(node.payload) >= 12]
    if tables:
        node = dice.of(tables)
        at = 8 if node.kind in (b"stsz", b"stz2") else 4
        node.payload = node.payload[:at] + dice.number(32, 8).to_bytes(4, "big") + node.payload[at + 4 :]


def fill_a_table(dice: Dice, tree: Tree) -> None:
    """Entries of one extreme number."""
    tables = [node for node in tree.nodes() if node.kind in TABLES and len(node.payload) >= 12]
    if tables:
        node = dice.of(tables)
        number = dice.number(32, 1).to_bytes(4, "little" if tree.is_avi else "big")
        node.payload = node.payload[:8] + number * ((len(node.payload) - 8) // 4)


def spoil_a_payload(dice: Dice, tree: Tree) -> None:
    """Sizes stay right, so that the damage reaches whoever reads the payload."""
    node = _leaf(dice, tree)
    node.payload = spoilt(dice, node.payload)


CHANGES: tuple[Change, ...] = (
    *(lie_about_a_size, widen_a_size, leave_out, double, swap, put_elsewhere, wrap, rename, add),
    *(change_a_field, change_a_field, change_a_field, change_a_prefix, change_a_version),
    *(lie_about_a_count, fill_a_table, spoil_a_payload, spoil_a_payload),
)


def changed(dice: Dice, tree: Tree) -> None:
    for _ in range(dice.of((1, 1, 2, 3, 6))):
        if tree.root.parts:
            dice.of(CHANGES)(dice, tree)


def _any(dice: Dice, tree: Tree) -> Node:
    return dice.of(tree.nodes())


def _leaf(dice: Dice, tree: Tree) -> Node:
    return dice.of([node for node in tree.nodes() if node.parts is None] or tree.nodes())
