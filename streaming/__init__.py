"""Running a model: ONNX session, stream state, resampler, decoding. Needs no torch."""
