"""Crashes of a Windows guest: noticed, decoded, told apart by fingerprint, their dumps fetched.

``bugcheck`` decodes a stop code wherever it is written, ``fingerprint`` makes equal crashes equal from night to night,
``detect`` says from the evidence whether there was one, ``collect`` asks the guest and fetches the dump.
"""
