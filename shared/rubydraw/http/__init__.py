"""Connections over HTTP, for requests to Gemini and to Pub/Sub."""
