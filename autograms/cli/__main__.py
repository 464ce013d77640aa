"""``python -m autograms.cli``: the command line, where its script is not on the path."""

from autograms.cli.main import run

if __name__ == "__main__":
    run()
