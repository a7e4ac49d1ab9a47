"""Devices as data, and what holds for them.

A *device* is what the runtime knows (``GPU``, ``HETERO:GPU,CPU``), a *profile* what is known of one; a *target* is a
device under a name of the user's choice with the conditions that an artifact for it must meet, and *limits* are what
of that concerns a graph. Artifacts lie in ``build/<model>/<target>/<precision>/``.
"""

from modelbuild.targets.compression import Compression, Int4, Int8, Keep
from modelbuild.targets.device import PROFILES, Device, device
from modelbuild.targets.limits import Limits
from modelbuild.targets.precision import Precision
from modelbuild.targets.profile import Limit, Profile
from modelbuild.targets.release import Release, release
from modelbuild.targets.target import BUILT_IN, Target

__all__ = [
    "BUILT_IN",
    "PROFILES",
    "Compression",
    "Device",
    "Int4",
    "Int8",
    "Keep",
    "Limit",
    "Limits",
    "Precision",
    "Profile",
    "Release",
    "Target",
    "device",
    "release",
]
