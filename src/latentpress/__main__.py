"""`python -m latentpress` is `latentpress`."""

from latentpress.cli import main

main()
