"""`python -m streamapp`."""

from streamapp.cli.main import main

main()
