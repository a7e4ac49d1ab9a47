"""What a converted model answers on OpenVINO's runtime."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from modelbuild.convert import convert_model, save_model
from modelbuild.runtime.session import Session
from modelbuild.tensor.dtype import Array


@dataclass(frozen=True)
class Run:
    """A model in one file, and the arrays to run it on, one set after the other."""

    model: Path
    feeds: Sequence[Mapping[str, Array]]


def answers(run: Run) -> list[dict[str, Array]]:
    """All outputs for each set of arrays; those for inputs that the model never reads are left out."""
    with tempfile.TemporaryDirectory() as folder:
        xml = Path(folder, "m.xml")
        save_model(convert_model(run.model), xml, compress_to_fp16=False)
        session = Session(xml)
        known = {name for names in session.input_names for name in names}
        return [session.run({name: a for name, a in feeds.items() if name in known}) for feeds in run.feeds]
