"""Asking a URL from outside, as a visitor would."""
