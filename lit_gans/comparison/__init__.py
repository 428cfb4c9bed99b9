"""Runs side by side: reading them from disk, statistics over seeds, tables and the page. Needs no torch."""
