"""A Maxwell problem similar to that of Antil, Díaz and Herberg (2022); numbers cannot be compared with theirs."""
