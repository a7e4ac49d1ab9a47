"""Make for models: OpenVINO IR from trained models, built incrementally.

``convert_model`` and ``save_model`` convert one model; the command line and ``doit`` build whole repositories of them
(see ARCHITECTURE.md beside this file).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelbuild.convert import convert_model, save_model

__all__ = ["__version__", "convert_model", "save_model"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import what is asked for only then: the package itself stays light."""
    if name in {"convert_model", "save_model"}:
        from modelbuild import convert

        return getattr(convert, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
