"""`python -m lit_gans`, the same as `lit-gans`."""

from lit_gans.cli import main

if __name__ == "__main__":  # and not when a file names this module
    main()
