"""``models.yaml``: what is to be built, from what, for which devices.

``nodes`` reads YAML into nodes that know their place, ``schema`` says what may be written, ``read`` holds the nodes
against it, ``loading`` follows includes and references and gives the ``model`` types that the engine works with.
``selection`` picks from them, ``discover`` drafts a first manifest.
"""

from modelbuild.manifest.loading import load
from modelbuild.manifest.model import (
    Bound,
    DataFile,
    Dim,
    Exclusion,
    InputSpec,
    Manifest,
    Model,
    PackageSource,
    PathSource,
    Source,
    UrlSource,
    Variant,
)
from modelbuild.manifest.selection import select

__all__ = [
    "Bound",
    "DataFile",
    "Dim",
    "Exclusion",
    "InputSpec",
    "Manifest",
    "Model",
    "PackageSource",
    "PathSource",
    "Source",
    "UrlSource",
    "Variant",
    "load",
    "select",
]
