"""Say things so that the runtime computes them right."""
