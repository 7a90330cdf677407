"""The command line of the service: sketches in, drawings out, by the same API that a browser uses."""
