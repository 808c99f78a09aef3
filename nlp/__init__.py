"""Language: text classification, translation, language models. Its catalogue is empty so far."""
