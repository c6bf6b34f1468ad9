"""The acoustic model in torch: front end, encoder, its offline forward pass."""
