"""`python -m hornlib.cli`, as the console script."""

from hornlib.cli import main

if __name__ == "__main__":
    main()
