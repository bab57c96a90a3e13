"""The commands of `taquilla`, one module per topic, built in the person's language.

Heavy packages (httpx, rich, the services' frameworks) are imported inside the commands: `--help`
stays quick.
"""
