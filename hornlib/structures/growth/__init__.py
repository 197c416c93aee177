"""Growth of neurons: when, where, how many, and with which first weights."""
