"""Decoding with a phone language model: CTC prefix beam search over rows of log-probabilities, with numpy alone."""
