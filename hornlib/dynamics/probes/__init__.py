"""What is measured inside a network over its time steps: the rules of its units, their states, their spectra."""
