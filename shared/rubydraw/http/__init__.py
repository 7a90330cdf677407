"""Connections over HTTP: for requests to Gemini and to Pub/Sub, and those that the server accepts."""
