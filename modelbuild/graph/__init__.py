"""The graph: values, the nodes that make them, and what can be asked of them."""

from modelbuild.graph.graph import Graph, Node, Value
from modelbuild.graph.op import Inferred, Op
from modelbuild.graph.verify import verify

__all__ = ["Graph", "Inferred", "Node", "Op", "Value", "verify"]
