"""Nodes in an order in which values are made before they are used."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from modelbuild.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from modelbuild.frontends.source import SourceNode


def ordered(nodes: Sequence[SourceNode], needs: Sequence[Collection[str]], given: Iterable[str]) -> list[SourceNode]:
    """Sort nodes so that each follows the makers of what it needs, else as they were.

    ``needs[i]`` are the names that ``nodes[i]`` uses, ``given`` those that are there before any node; a name that
    neither has is the caller's matter. Raises ``SourceError`` for a value made twice and for a cycle.
    """
    makers = _makers(nodes, given)
    if _are_sorted(needs, makers):
        return list(nodes)
    waiting, users = [0] * len(nodes), [list[int]() for _ in nodes]
    for index, names in enumerate(needs):
        for maker in {makers[name] for name in names if name in makers}:
            if maker >= 0:
                users[maker].append(index)
                waiting[index] += 1
    ready = [index for index, count in enumerate(waiting) if not count]
    heapify(ready)
    order = []
    while ready:
        index = heappop(ready)
        order.append(index)
        for user in users[index]:
            waiting[user] -= 1
            if not waiting[user]:
                heappush(ready, user)
    if len(order) < len(nodes):
        raise SourceError(f"the graph has a cycle: {_cycle(nodes, needs, makers, set(order))}")
    return [nodes[index] for index in order]


def _makers(nodes: Sequence[SourceNode], given: Iterable[str]) -> dict[str, int]:
    """The index of the node that makes a name; -1 for what is given."""
    makers = dict.fromkeys(given, -1)
    for index, node in enumerate(nodes):
        for name in filter(None, node.outputs):
            first = makers.setdefault(name, index)
            if first != index or (len(node.outputs) > 1 and node.outputs.count(name) > 1):
                other = str(nodes[first]) if first >= 0 else "an input or initializer"
                raise SourceError(f"value {name!r} is made twice: by {other} and by {node}")
    return makers


def _are_sorted(needs: Sequence[Collection[str]], makers: dict[str, int]) -> bool:
    for index, names in enumerate(needs):
        for name in names:
            if makers.get(name, -1) >= index:
                return False
    return True


def _cycle(
    nodes: Sequence[SourceNode], needs: Sequence[Collection[str]], makers: dict[str, int], sorted_ones: set[int]
) -> str:
    """One cycle among the nodes that could not be sorted: each of them needs another of them."""
    at = next(index for index in range(len(nodes)) if index not in sorted_ones)
    path: dict[int, None] = {}
    while at not in path:
        path[at] = None
        at = min(found for name in needs[at] if (found := makers.get(name, -1)) >= 0 and found not in sorted_ones)
    around = list(path)[list(path).index(at) :][::-1]
    shown = [str(nodes[index]) for index in around[:8]] + ["..."] * (len(around) > 8)
    return " -> ".join([*shown, str(nodes[around[0]])])
