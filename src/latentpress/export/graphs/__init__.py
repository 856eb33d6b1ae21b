"""From torch modules to ONNX graphs: traced, cast, fused, and compared with torch."""
