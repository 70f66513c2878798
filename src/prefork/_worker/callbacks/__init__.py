"""Functions that an application registers: called at the start and the end of each worker, and at a reload."""
