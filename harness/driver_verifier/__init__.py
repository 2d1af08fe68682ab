"""Reads the log of the verifier in the guest (``drivers/verifier``), explains its codes and resolves its addresses."""
