"""The agent: a process beside the workers that serves metrics, health and the dashboard, and pushes metrics."""
