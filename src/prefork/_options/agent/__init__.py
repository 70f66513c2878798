"""The options of `prefork run` for the agent, and when there is one."""
