"""A teacher: a CTC head on Whisper's frozen encoder, its rows in a file, the targets that a student takes from them."""
