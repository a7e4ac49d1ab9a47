"""``python -m modelbuild`` and the command ``modelbuild``."""

from __future__ import annotations

import gc
import os
import sys


def main() -> None:
    # The threads that numpy has for products of matrices have nothing to do here, and spin for 40 ms a process.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from modelbuild.cli import run
    from modelbuild.collector import end_uncollected

    arguments = sys.argv[1:]
    if arguments[:1] in (["convert"], ["mo"]):
        # The process ends with the one conversion that it is for: what cycles leave behind is never worth looking for.
        gc.disable()
    code = run(arguments)
    end_uncollected()  # searching takes as long as reading a model
    sys.exit(code)


if __name__ == "__main__":
    main()
