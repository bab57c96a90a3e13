"""`python -m chaos` is `taquilla`."""

from chaos.cli import main

if __name__ == "__main__":
    main()
