"""Words to phones, without torch: dictionary, grapheme-to-phoneme model, numbers, n-grams."""
