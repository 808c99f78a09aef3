"""Texts as data: tokenizers, vocabularies, padding."""
