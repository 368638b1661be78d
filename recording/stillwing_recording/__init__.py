"""Flights as files: one MCAP file a flight, read again frame by frame, and replayed as if it were live.

`recorder` writes what the public streams of bridge and agent show; `opening` reads recordings, folders of pictures and
videos alike; `replay` serves any of them through the bridge's own protos.
"""
