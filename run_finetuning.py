"""Finetune a model on simulated conversations: the guide's command. See ``--help``."""

import sys

from autograms.cli.main import main

if __name__ == "__main__":
    sys.exit(main(only="finetune", program="run_finetuning.py"))
