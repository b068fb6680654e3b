"""The inference side: joint posteriors as layers, and q of a batch."""
