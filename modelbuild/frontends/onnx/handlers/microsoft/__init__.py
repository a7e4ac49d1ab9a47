"""Operators of ``com.microsoft``, which onnxruntime's own tools write."""
