"""Prefect flows and the command line: thin layers that call `pipeline`."""
