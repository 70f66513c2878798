"""How the master starts molds, spares and workers, and its channels to them."""
