"""Deploys: the way of a change through the pipeline, as a durable state machine."""
