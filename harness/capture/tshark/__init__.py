"""Everything that is asked of tshark: ``live`` during a session, ``file`` about a capture file."""
