"""Steps of the training: eager ones, and the same captured and run again."""
