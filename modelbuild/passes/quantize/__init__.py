"""Quantised activations: what a calibration found, put into the graph."""
