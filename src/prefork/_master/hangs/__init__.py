"""Workers that hang or crash: finding them, and reporting why."""
