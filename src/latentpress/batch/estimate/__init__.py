"""What a render would take: its work counted, and its time and disk estimated from what was measured before."""
