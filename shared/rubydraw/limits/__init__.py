"""Limits: on what is in flight in an instance, on the cost of a day, and on the requests of a caller."""
