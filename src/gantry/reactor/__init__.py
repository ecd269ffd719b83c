"""Floor 5: the loops. The only background work: it observes, lets the features decide, and acts.

Handlers of requests record an intent and wake the reactor; it runs at its own pace, and starting it again after
a crash needs no other recovery than deciding again.
"""
