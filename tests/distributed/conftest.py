"""Gives every test eight CPU devices."""

import os

# JAX reads these when it is first asked for devices; no test module has been imported yet.
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"
