"""What it means: holds what was captured and completed against what the model predicts. Pure: no I/O, no clock.

``dissect`` reads raw frames, ``match`` pairs them with predictions, ``completions`` judges what the driver recorded,
``agree`` holds tshark's reading against ours, ``background`` names what is not the driver's, ``judge`` sums up.
"""
