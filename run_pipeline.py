#!/usr/bin/env python3
"""Carry the deliveries in a folder through raw, curated and gold. `--help` says how."""

import sys

from lib.cli.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
