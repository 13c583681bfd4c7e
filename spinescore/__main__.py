"""``python -m spinescore``."""

from spinescore.cli import main

main()
