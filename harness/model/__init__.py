"""What must come of it: the executable reference model of WSK datagram sends. Pure: no I/O, no clock, no sleeping.

Three layers, each readable beside the documents: ``payload`` (bytes from a WSK_BUF), ``destination`` (where a send
goes), ``wire`` with the codec ``frames`` (the datagrams and their frames). ``predict`` plays a plan through them;
``profile`` holds what differs between stacks, ``site`` the addresses of one lab.
"""
