"""The table that the ONNX handlers are registered in."""

from __future__ import annotations

from modelbuild.frontends.handlers import Handlers

onnx = Handlers("onnx")
