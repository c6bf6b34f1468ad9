"""What was heard, written as the tools that people use want to read it."""
