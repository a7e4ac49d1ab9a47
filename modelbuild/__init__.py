"""Make for models: see :mod:`modelbuild.cli` for the command line, ARCHITECTURE.md for the way through."""
