"""So that `python -m phonestream` is the command line too."""

from .cli import main

main()
