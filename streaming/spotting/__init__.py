"""Finding words in rows of log-probabilities: keywords in a stream, commands from a closed list."""
