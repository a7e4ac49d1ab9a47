"""Rewrites of the graph, in folders named after the phases; ``pipeline`` alone knows their order."""
