"""The page of `prefork top`: its figures, its widgets, and the threads that fetch the data (`link`)."""
