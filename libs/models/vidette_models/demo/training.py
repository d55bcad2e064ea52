"""Makes the demo detector again: `python -m vidette_models.demo.training --out DIR` (needs the extra `train`).

Steps and seed are fixed, minutes are not, so that the same command makes the same detector on a slower machine too. Bit
for bit it is the same only on one processor with one version of torch; the figures in the model card are the measure.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import torch

from vidette_models.demo.card import CARD_NAME, DETECTOR_NAME, DemoCard, digest_of
from vidette_models.demo.losses import detection_loss
from vidette_models.demo.network import DemoNetwork, ExportedDetector, grid
from vidette_models.demo.pictures import SIDE, Batch, Batches
from vidette_models.demo.proof import measure
from vidette_models.demo.scenes import LABELS

OPSET: Final = 17
_REPORT_EVERY: Final = 100


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides how training goes."""

    steps: int = 4000
    batch: int = 16
    seed: int = 2026
    rate: float = 2e-3
    decay: float = 0.02
    warm_up: int = 100
    """Steps over which the learning rate rises to `rate`, before it falls along a cosine."""
    memory: float = 0.998
    """How much of the averaged weights each step keeps; the average is what is exported."""


def _rate(recipe: Recipe, step: int) -> float:
    fall = 0.5 + 0.5 * math.cos(math.pi * step / recipe.steps)
    return recipe.rate * min(1.0, (step + 1) / recipe.warm_up) * fall + 1e-6


def _optimiser(network: Any, recipe: Recipe) -> Any:
    weights = [p for p in network.parameters() if p.ndim > 1]
    scales = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": weights, "weight_decay": recipe.decay}, {"params": scales, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=recipe.rate)


def _average(kept: Any, network: Any, step: int, memory: float) -> None:
    share = 1 - min(memory, step / (step + 20))
    with torch.no_grad():
        pairs = zip(kept.state_dict().values(), network.state_dict().values(), strict=True)
        for mean, new in pairs:
            if mean.is_floating_point():
                mean.lerp_(new, share)
            else:
                mean.copy_(new)


def _loss(network: Any, batch: Batch, points: Any) -> Any:
    pictures = torch.from_numpy(batch.pictures).permute(0, 3, 1, 2).float() / 255
    with torch.autocast("cpu", torch.bfloat16):  # a third faster where the processor knows bfloat16
        raw = network(pictures.contiguous(memory_format=torch.channels_last))
    return detection_loss(raw.float(), torch.from_numpy(batch.boxes), torch.from_numpy(batch.classes), points)


def train(recipe: Recipe) -> Any:
    """Trains from scratch and returns the network of averaged weights. One process draws ahead while this one learns."""
    torch.manual_seed(recipe.seed)
    network = DemoNetwork(len(LABELS)).to(memory_format=torch.channels_last)
    kept = copy.deepcopy(network).eval()
    optimiser = _optimiser(network, recipe)
    loader = torch.utils.data.DataLoader(
        Batches(recipe.seed, recipe.batch, recipe.steps), batch_size=None, num_workers=1, prefetch_factor=8
    )
    points: dict[int, Any] = {}
    began, recent = time.monotonic(), 0.0
    for step, batch in enumerate(loader):
        for group in optimiser.param_groups:
            group["lr"] = _rate(recipe, step)
        rows = batch.pictures.shape[1]
        points.setdefault(rows, grid(rows, SIDE))
        loss = _loss(network, batch, points[rows])
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimiser.step()
        _average(kept, network, step + 1, recipe.memory)
        recent += float(loss.detach()) / _REPORT_EVERY
        if (step + 1) % _REPORT_EVERY == 0:
            print(f"step {step + 1}/{recipe.steps} loss {recent:.3f} {time.monotonic() - began:.0f} s", flush=True)
            recent = 0.0
    return kept


def export(network: Any, path: Path) -> None:
    """Writes the network as one ONNX file in the family `yolo_raw`, with a free batch size."""
    import onnx

    served = ExportedDetector(network.to(memory_format=torch.contiguous_format).float(), SIDE).eval()
    with torch.no_grad():
        torch.onnx.export(
            served, (torch.zeros(2, 3, SIDE, SIDE),), str(path), opset_version=OPSET, dynamo=False,
            input_names=["images"], output_names=["output0"], dynamic_axes={"images": {0: "N"}, "output0": {0: "N"}},
        )  # fmt: skip
    model = onnx.load(path)
    rows, points = model.graph.output[0].type.tensor_type.shape.dim[1:]  # the tracer leaves them as names
    rows.dim_value, points.dim_value = 4 + len(LABELS), len(grid(SIDE, SIDE))
    names = {"names": json.dumps(dict(enumerate(LABELS))), "author": "Vidette, trained on its own drawings"}
    onnx.helper.set_model_props(model, names)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def _card(recipe: Recipe, path: Path, seconds: float) -> DemoCard:
    stills, clips = measure(path)
    return DemoCard(
        family="yolo_raw",
        labels=LABELS,
        input_side=SIDE,
        sha256=digest_of(path),
        command="python -m vidette_models.demo.training --out DIR",
        recipe=asdict(recipe),
        training_seconds=round(seconds),
        versions={name: version(name) for name in ("torch", "onnx", "onnxruntime", "numpy", "opencv-python-headless")},
        stills=stills,
        clips=clips,
    )


def main() -> None:
    """Trains, exports, measures, and writes `detector.onnx` and `detector.json`."""
    parser = argparse.ArgumentParser(description="Train Vidette's demo detector on its own drawings.")
    parser.add_argument("--out", type=Path, required=True, help="folder for detector.onnx and detector.json")
    parser.add_argument("--steps", type=int, default=Recipe().steps, help="training steps (default: %(default)s)")
    arguments = parser.parse_args()
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    recipe, began = Recipe(steps=arguments.steps), time.monotonic()
    network = train(recipe)
    seconds = time.monotonic() - began
    torch.save(network.state_dict(), out / "weights.pt")
    export(network, out / DETECTOR_NAME)
    card = _card(recipe, out / DETECTOR_NAME, seconds)
    (out / CARD_NAME).write_text(card.to_json(), encoding="utf-8")
    print(card.to_json())


if __name__ == "__main__":
    main()
