"""Talk to a program in the terminal: the guide's command. See ``--help``."""

import sys

from autograms.cli.main import main

if __name__ == "__main__":
    sys.exit(main(only="chat", program="run_autogram.py"))
