"""What the rules did, and why they did not."""

from __future__ import annotations

import msgspec


class Event(msgspec.Struct, frozen=True):
    """``why`` is empty where the rule was applied; otherwise the reason that it gave."""

    rule: str
    node: str
    why: str = ""

    def __str__(self) -> str:
        return f"{self.rule} {self.node}: {self.why or 'applied'}"


class Trace(msgspec.Struct):
    """Events in order; a refusal is kept once a rule and node, and dropped if the rule then applies after all."""

    events: dict[tuple[str, str], Event] = msgspec.field(default_factory=dict)

    def applied(self, rule: str, node: str) -> None:
        self.events.pop((rule, node), None)
        self.events[rule, node] = Event(rule, node)

    def skipped(self, rule: str, node: str, why: str) -> None:
        self.events.setdefault((rule, node), Event(rule, node, why))

    def count(self, rule: str) -> int:
        """How often ``rule`` was applied."""
        return sum(1 for e in self.events.values() if e.rule == rule and not e.why)

    def __str__(self) -> str:
        return "\n".join(map(str, self.events.values()))
