"""The collector: hears the streams of the chosen sources for weeks, and puts what it heard into landing.

`session` is a connection, from its subscription to its end; `listener` keeps a source's connections up, for new listings too;
`polling` asks each minute for what venues don't keep;
`spool` is the file on this machine that frames are written to, at the disk within a second; `sealing` makes landing's pages out
of it, each complete or absent; `collector` runs all of it until it is told to end, and `watching` tells how it goes. What the
loader needs to read a segment is in `pipelines.streams`, with how to add a stream.
Alone: `perps collect --venues bybit`.
"""
