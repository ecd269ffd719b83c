"""Floor 3: everything that touches the world. One folder per kind of engine.

`protocol.py` is what the floors above may know; each other file is one implementation, and
`fake.py` is the one that tests and the simulation run on. Every method may be called again after a
lost reply: doing it twice is the same as doing it once.
"""
