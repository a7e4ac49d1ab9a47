"""Patterns, rules, and the driver that applies them until nothing changes.

::

    x, filters, scale = anything(), constant(), constant()
    conv = of(ops.Convolution, x, filters)

    @rule(of(ops.Multiply, conv, scale))
    def fold_scale_into_filters(m: Match, g: Rewriter) -> Value | Skip:
        ...   # m[conv] is a Node[Convolution], m[x] a Value, m[filters] the constant's Tensor
"""

from modelbuild.rewrite.driver import apply
from modelbuild.rewrite.pattern import Match, Pattern, anything, constant, of, scalar
from modelbuild.rewrite.rule import Rewriter, Rule, Skip, rule
from modelbuild.rewrite.trace import Trace

__all__ = [
    "Match", "Pattern", "Rewriter", "Rule", "Skip", "Trace", "anything", "apply", "constant", "of", "rule", "scalar",
]  # fmt: skip
