"""What a mission remembers: its instructions, the things they are about, and their keyframes."""
