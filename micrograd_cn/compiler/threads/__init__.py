"""What threads share: work that they do at the same time, locks that survive a fork, the version of nodes' data."""
