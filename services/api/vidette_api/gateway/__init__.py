"""What workers see: claim a segment, read the video, commit chunks, say how it ended. Reachable from inside only.

A worker decodes hostile media and is treated as taken over: its tokens allow one job's claim or one segment's writes, keys
are derived here and never taken from it, and every size, count and sentence it sends is bounded.
"""
