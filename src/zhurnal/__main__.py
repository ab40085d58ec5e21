"""`python -m zhurnal`."""

from .cli import main

main()
