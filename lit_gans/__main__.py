"""`python -m lit_gans`, the same as `lit-gans`."""

from lit_gans.cli import main

main()
