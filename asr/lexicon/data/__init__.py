"""CMUdict and the spelling model, with their provenance in README.md."""
