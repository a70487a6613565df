"""`python -m hemma`: the same as the command `hemma`."""

from hemma.cli import main

if __name__ == "__main__":
    main()
