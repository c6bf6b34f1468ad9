"""The recogniser as a static web page: it runs a model in the visitor's own browser, and sends audio to nobody."""
