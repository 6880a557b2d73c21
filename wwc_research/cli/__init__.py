"""The command line: reads options, calls one function of the library, prints or writes what it returns.

One module a group of commands; importing them, in the order of the help, registers them.
"""

from wwc_research.cli import (  # isort: skip  # the order of the help
    pages,
    evidence,
    simulating,
    estimating,
    matching,
    scoring,
    fetching,
    figures,
    comparing,
)
from wwc_research.cli.app import app, main
from wwc_research.cli.estimating import ESTIMATOR_NAMES

__all__ = [
    "ESTIMATOR_NAMES",
    "app",
    "comparing",
    "estimating",
    "evidence",
    "fetching",
    "figures",
    "main",
    "matching",
    "pages",
    "scoring",
    "simulating",
]
