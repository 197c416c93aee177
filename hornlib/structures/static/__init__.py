"""The static structure: nothing changes while the network trains."""
