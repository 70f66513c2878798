"""Fields and contexts as JSON. Only these modules and `field` import msgspec."""
