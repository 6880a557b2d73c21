"""`python -m wwc_research.cli`."""

from wwc_research.cli import main

main()
