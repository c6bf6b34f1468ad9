"""Phone error rates of a model on a corpus, and the report page about them."""
