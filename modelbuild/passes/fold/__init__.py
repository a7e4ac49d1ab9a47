"""Compute now what is known now."""
