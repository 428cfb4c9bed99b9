"""Sweeps by W&B's own files, without its server; imports neither torch nor lightning but for the check."""
