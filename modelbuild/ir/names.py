"""What layers are called in an IR: as the graph calls them, and told apart."""

from __future__ import annotations

from modelbuild.graph.graph import Graph, Node
from modelbuild.graph.op import Op


class Names:
    """The names that are taken; each is given once."""

    def __init__(self) -> None:
        self._given: dict[str, int] = {}

    def of(self, node: Node[Op]) -> str:
        return self.unique(node.name or node.op.ir_type())

    def unique(self, wanted: str) -> str:
        """``wanted``, or that with a number where another layer has it."""
        name = wanted
        while name in self._given:
            count = self._given[wanted] = self._given[wanted] + 1
            name = f"{wanted}_{count}"
        self._given[name] = 0
        return name


def layers(graph: Graph) -> dict[str, Node[Op]]:
    """The nodes of a graph by their names in its IR; those of bodies are named within their bodies."""
    names = Names()
    return {names.of(node): node for node in graph.nodes()}
