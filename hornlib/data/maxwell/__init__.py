"""A Maxwell problem of our own, in the spirit of Antil, Díaz and Herberg (2022): no number compares with theirs."""
