"""Room on the disk that is held for the control plane."""
