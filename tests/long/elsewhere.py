"""Run IRs on the OpenVINO of another environment: ``python elsewhere.py JOBS``; imports nothing of ours.

``JOBS`` is JSON, a list of ``{"xml", "feeds", "answers"}``: an IR, an ``.npz`` with its inputs by name, and where its
outputs are to go. What each came to is printed as JSON: nothing, or why it failed.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np


def run(core: Any, xml: str, feeds: str, answers: str) -> str:
    try:
        given = np.load(feeds)
        compiled = core.compile_model(core.read_model(xml), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        known = {name for port in compiled.inputs for name in port.get_names()}
        found = compiled({name: given[name] for name in given.files if name in known})
        np.savez(answers, **{min(port.get_names()): found[port] for port in compiled.outputs})
    except RuntimeError as error:
        return str(error)
    return ""


if __name__ == "__main__":
    try:
        from openvino import Core
    except ImportError:  # before 2023.1 it was a package below
        from openvino.runtime import Core
    ov = Core()
    sys.stdout.write(json.dumps([run(ov, **job) for job in json.loads(Path(sys.argv[1]).read_text())]))
