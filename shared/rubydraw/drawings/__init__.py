"""Drawings: where they are kept, and flights, in which one caller makes a new one for all who want it."""
