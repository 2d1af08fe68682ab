"""Many cells: which guests and NICs to run, one process for each, and what each answered."""
