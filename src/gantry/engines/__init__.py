"""Floor 3: everything that touches the world. One folder per kind of engine.

`protocol.py` is what the floors above may know; each other file is one implementation, or part of one. What tests and the
simulation run on lies in `tests/fakes`, under the same contract suite. Every method may be called again after a lost
reply: doing it twice is the same as doing it once.
"""
