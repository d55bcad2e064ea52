"""Detector families, graph composition and the Triton model repository: everything that turns an exported ONNX file into a served model."""
