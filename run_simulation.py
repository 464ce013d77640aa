"""Simulate conversations between a chatbot and a userbot: the guide's command. See ``--help``."""

import sys

from autograms.cli.main import main

if __name__ == "__main__":
    sys.exit(main(only="simulate", program="run_simulation.py"))
