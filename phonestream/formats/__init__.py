"""What was heard, in the names and pictures that people use."""
