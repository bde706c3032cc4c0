"""`python -m rchan` is the command `rchan`."""

from rchan.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
