"""The strongest rival: a program that does without configs, checks, a tracker, a page and a model."""
