"""Where and how a network runs: OpenVINO's cache, one device or several, batch sizes, precisions."""
