"""Audio input, without torch: files, containers, resampling, microphones."""
