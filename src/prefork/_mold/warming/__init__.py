"""Work done in the mold before it forks, so that workers share what it leaves: requests, and a worker's first steps."""
