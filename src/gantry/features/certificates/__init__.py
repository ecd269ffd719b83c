"""Certificates of sites: wanted, issued, renewed in time."""
