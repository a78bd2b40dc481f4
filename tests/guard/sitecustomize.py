"""Python imports this at its start wherever the tests put this folder on `PYTHONPATH`."""

import network_guard

network_guard.install()
