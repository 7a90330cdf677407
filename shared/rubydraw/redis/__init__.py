"""Redis: commands in one round trip with a short time-out, over connections of our own."""
