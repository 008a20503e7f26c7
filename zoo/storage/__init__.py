"""What is written to disk: atomic files, the run folder, working folders, the feature cache."""
