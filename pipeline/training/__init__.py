"""Training: the losses of `pipeline.training.losses` need only torch; nothing more is imported here."""
