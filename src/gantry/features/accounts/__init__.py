"""Who may do what: roles, login links, sessions and tokens."""
