"""Children that the master forks: how one begins and ends, and which rights the application's user has in it."""
