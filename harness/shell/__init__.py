"""A person in place of a suite: the guest comes up as in a run, and its command line is theirs."""
