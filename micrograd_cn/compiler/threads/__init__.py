"""What threads share: work that they do at the same time, and locks that survive a fork."""
