"""Learning the phone language model of the beam search, without torch."""
