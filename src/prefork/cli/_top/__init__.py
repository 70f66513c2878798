"""The page of `prefork top`: what is seen (`figures`), how it is drawn, and who fetches it (`link`)."""
