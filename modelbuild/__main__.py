"""``python -m modelbuild`` and the command ``modelbuild``."""

from __future__ import annotations

import gc
import sys


def main() -> None:
    from modelbuild.cli import run

    code = run(sys.argv[1:])
    # Python would look for cycles among all that is left, twice: as long as reading a model. The process ends anyway.
    gc.freeze()
    sys.exit(code)


if __name__ == "__main__":
    main()
