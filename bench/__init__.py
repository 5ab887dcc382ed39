"""Speed and memory against the bare network and the peers; `python -m bench` runs all, one file a claim."""
