"""What is learnt: phones and lexicon, front end, encoder, corpora, training, scoring. Imports nothing itself."""
