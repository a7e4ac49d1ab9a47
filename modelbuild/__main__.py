"""``python -m modelbuild`` and the command ``modelbuild``."""

from __future__ import annotations

import sys


def main() -> None:
    from modelbuild.cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
