"""How often the warnings are right, on seeded data sets whose truth is known: see README.md."""
