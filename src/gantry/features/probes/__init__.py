"""Asking the platform from outside, as a visitor would."""
