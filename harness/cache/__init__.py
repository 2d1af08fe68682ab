"""What every cache of the harness shares: files written so that a crash leaves all or nothing, and checked when used.

``durable`` writes, ``blocks`` computes the checksums of a file, ``manifest`` records them for a folder and compares,
``document`` keeps one JSON value in one file.
"""
