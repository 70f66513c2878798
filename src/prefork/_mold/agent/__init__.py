"""The agent of a mold: its slot in the plan."""
