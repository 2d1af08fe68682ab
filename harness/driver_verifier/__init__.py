"""What the verifier in the guest (``drivers/verifier``) found: its log, its codes in words, its addresses resolved."""
