"""Speed as ratios: against peers, against what venues allow, against our own history."""
