"""How a rough sketch becomes a clean drawing: `submit`, `work`, `improve`, `watch`, and the nouns they use."""
