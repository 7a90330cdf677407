"""Jobs: how one is accepted and recorded, how its state changes, and how its viewers hear of it."""
