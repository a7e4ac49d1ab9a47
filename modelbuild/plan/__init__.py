"""What a manifest asks for, as jobs: models x targets x precisions."""

from modelbuild.plan.artifact import Artifact
from modelbuild.plan.makers import makers

__all__ = ["Artifact", "makers"]
