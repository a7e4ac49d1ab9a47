"""Operators of ``ai.onnx.ml``, which the exporters of scikit-learn and the boosting libraries write."""
