"""Source models: read as their frameworks wrote them, translated into the graph."""
