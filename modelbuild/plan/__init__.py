"""What a manifest asks for, as jobs: models x targets x precisions."""

from modelbuild.plan.artifact import Artifact
from modelbuild.plan.makers import makers
from modelbuild.plan.provenance import framework

__all__ = ["Artifact", "framework", "makers"]
