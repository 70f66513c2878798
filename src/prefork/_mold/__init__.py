"""The mold process: it imports the application, computes the plan and forks spares."""
