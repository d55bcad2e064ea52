"""Detector families: how the head of an exported detector is to be read. A family is declared, never guessed from shapes.

To add one, write a module beside these with its `check` and `decode`, and put it into `FAMILIES`; batching, suppression, the
contract with the worker and the repository do not change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vidette_models.errors import UnsupportedModel
from vidette_models.families.detr_scored import DETR_SCORED
from vidette_models.families.family import Colours, Family, Head, Pixels
from vidette_models.families.yolo_e2e import YOLO_E2E
from vidette_models.families.yolo_raw import YOLO_RAW
from vidette_models.families.yolox import YOLOX

__all__ = ["FAMILIES", "Colours", "Family", "Head", "Pixels", "check_head", "family_named"]

FAMILIES = {family.name: family for family in (YOLO_RAW, YOLO_E2E, YOLOX, DETR_SCORED)}


def family_named(name: str) -> Family:
    """The family with that name.

    Raises:
        UnsupportedModel: there is none.
    """
    if name not in FAMILIES:
        raise UnsupportedModel("detector family", found=repr(name), expected=f"one of {', '.join(FAMILIES)}")
    return FAMILIES[name]


def check_head(family: Family, head: Head, answer_to: Callable[[Pixels], NDArray[np.float32]]) -> int:
    """How many candidates the head has for one picture.

    Args:
        family: the declared one.
        head: what the model answers to pictures of that family.
        answer_to: what it answers to the same pictures as another family would show them; asked only after a refusal.

    Raises:
        UnsupportedModel: it is no head of this family. Where it is one of another, the remedy names that.
    """
    try:
        return family.check(head)
    except UnsupportedModel as refusal:
        others = [other for other in FAMILIES.values() if other is not family]
        fitting = [other.name for other in others if _accepts(other, head, answer_to)]
        if not fitting:
            raise
        remedy = f"This head is one of family {' or '.join(fitting)}: if the model was exported so, declare that."
        raise refusal.advised(remedy) from refusal


def _accepts(family: Family, head: Head, answer_to: Callable[[Pixels], NDArray[np.float32]]) -> bool:
    try:
        family.check(replace(head, answer=answer_to(family.pixels)))
    except UnsupportedModel:
        return False
    return True
