"""Vidette's own demo detector: a drawn world, a small network trained on it, and the proof that it works.

Weights of well-known detectors carry licences of their own, so the project ships none of them. What `make demo`, the
tests and the benchmarks run is trained here, on pictures that this package draws and whose truth is therefore known to
the pixel. `scenes` draws, `training` makes `detector.onnx` again from a seed, `evaluation` measures it, and `card`
tells what was measured.
"""
