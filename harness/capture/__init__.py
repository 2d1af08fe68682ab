"""What was seen: dumpcap on the DUT bridge, markers that prove it, the bytes and tshark's dissection of them."""
