"""How explanations are drawn, one file for each kind of input; imported only where something is drawn."""
