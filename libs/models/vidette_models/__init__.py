"""Everything that turns an exported ONNX file into a served model: families, graph composition, the Triton repository."""
