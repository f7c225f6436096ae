"""`python -m ctrlgen` is the command `ctrlgen`."""

from ctrlgen.cli import app

if __name__ == "__main__":
    app(prog_name="ctrlgen")
