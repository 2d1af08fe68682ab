"""Files on the host: which are the harness's own, how they are removed, replaced and read."""
