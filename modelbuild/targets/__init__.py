"""Devices as data, and what holds for them.

A *device* is what the runtime knows (``GPU``, ``HETERO:GPU,CPU``); a *target* is a device under a name of the user's
choice with the conditions that an artifact for it must meet. Artifacts lie in ``build/<model>/<target>/<precision>/``.
"""

from modelbuild.targets.compression import Compression, Int4, Int8, Keep
from modelbuild.targets.device import DEVICES, Device, device
from modelbuild.targets.precision import Precision
from modelbuild.targets.target import BUILT_IN, Target

__all__ = ["BUILT_IN", "DEVICES", "Compression", "Device", "Int4", "Int8", "Keep", "Precision", "Target", "device"]
