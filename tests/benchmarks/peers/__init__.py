"""Other gateways beside Penstock under the same load: `install.sh` brings them, `__main__.py` measures them."""
