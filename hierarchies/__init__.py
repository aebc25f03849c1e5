"""Curated assets, data only: a folder each tree, read through `pipeline.hierarchy`."""
