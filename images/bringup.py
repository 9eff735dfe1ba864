"""Brings up engine, base image and guest image, in this order: ``python -m images.bringup``.

What ``make search`` and ``make test`` run first. What is there already costs a look.
"""

from __future__ import annotations

import argparse
import sys
import time

from images.build import ensure_guest_image
from images.context import DEVICES
from images.daemon import bring_up_engine
from images.errors import ImageError
from images.progress import view


def main(arguments: list[str] | None = None) -> int:
    """Bring everything up; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m images.bringup", description=__doc__)
    parser.add_argument("--device", choices=DEVICES, default="cpu")
    parser.add_argument("--base", metavar="IMAGE", help="base image with Python 3.11")
    options = parser.parse_args(arguments)
    start = time.monotonic()
    try:
        with view() as tell:
            client = bring_up_engine(tell)
            tag = ensure_guest_image(client, options.device, options.base, tell=tell)
    except ImageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command resumes", file=sys.stderr)
        return 130
    print(f"engine and {tag} are ready ({time.monotonic() - start:.1f} s)", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
