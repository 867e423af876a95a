"""``python -m fingerpost`` is ``fingerpost``."""

from fingerpost.cli import main

if __name__ == "__main__":
    main(prog_name="fingerpost")
