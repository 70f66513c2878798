"""The judged reload: new workers serve beside the old generation, and are compared with it."""
