"""Corpora: layouts of folders, lhotse cut sets, reference phones."""
