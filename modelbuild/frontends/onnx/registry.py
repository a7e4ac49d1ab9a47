"""The table that the ONNX handlers are registered in."""

from __future__ import annotations

from modelbuild.frontends.handlers import Handlers
from modelbuild.frontends.onnx.handlers import FAMILIES
from modelbuild.frontends.onnx.untranslatable import UNTRANSLATABLE

onnx = Handlers("onnx", [f"modelbuild.frontends.onnx.handlers.{family}" for family in FAMILIES], UNTRANSLATABLE)
