"""Many recordings at once: what to read, who works on it, where results go."""
