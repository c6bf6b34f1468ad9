"""What each command does. Heavy imports happen when a command runs, so that help comes at once."""
