"""Where ``spinescore`` and ``python -m spinescore`` begin; light: decoding processes import it anew."""


def main() -> None:
    """Run the command line."""
    from spinescore.cli import main as run

    run()


if __name__ == "__main__":
    main()
