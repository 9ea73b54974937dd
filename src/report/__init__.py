"""Tables, figures and words about runs, from what the reader returns."""
