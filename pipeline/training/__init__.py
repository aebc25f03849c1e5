"""Training rooms. Importing this imports nothing: `pipeline.training.losses` needs only torch."""
