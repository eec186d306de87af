"""Tools on top of loaders: a progress bar, and a measurement of the time that training waits.

They use loaders as any user could. No other room of the core imports this one.
"""
