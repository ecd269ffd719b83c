"""The whole platform, simulated from a seed: real rules, real SQL, a machine of glass."""
