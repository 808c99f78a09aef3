"""Parts that models of language share."""
