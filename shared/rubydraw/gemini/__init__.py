"""Gemini: the call through google-genai, what it sends, and what is made of the answer."""
