"""Benchmarks: figures of benchmarks/README.md, run as `python -m benchmarks`."""
