"""Merge what only a converter can merge: constants into weights."""
