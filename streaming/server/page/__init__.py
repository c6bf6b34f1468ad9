"""The web page, served as it lies here."""
