"""What a command shows and hears: its arguments, errors, interrupts and progress."""
