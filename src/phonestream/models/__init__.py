"""The bundled models: NAME.onnx is what `Recognizer("NAME")` opens, NAME.md its model card."""
