"""Prices in US dollars, each with its source; docs/deploy.md uses the same ones."""

from __future__ import annotations

CALL = 0.067
"""One 1K picture of gemini-3.1-flash-image (third-party tables, November 2026)."""
VCPU_S, GIB_S, REQUEST = 24e-6, 2.5e-6, 0.4e-6
"""Cloud Run in a tier 1 region, billed by request (cloud.google.com/run/pricing, as stored in 2026)."""
REDIS_GB_HOUR = {1: 0.049, 10: 0.027, 300: 0.023}
"""Memorystore, one node, by size (docs/deploy.md; that of 300 GB is assumed)."""
PUBSUB_GB, EGRESS_GB = 0.04, 0.12
"""docs/deploy.md, and cloud.google.com/storage/pricing-examples for traffic."""
STORED_GB_MONTH, STORE, FETCH = 0.020, 5e-6, 0.4e-6
"""Cloud Storage, standard, one region (cloud.google.com/storage/pricing-examples)."""
SKETCH_GB, DRAWING_GB = 0.0003, 0.0012
"""Assumed sizes, as in docs/deploy.md."""
ARCHIVE_MONTHS = 12
"""A drawing is charged with the storage of its first year."""
