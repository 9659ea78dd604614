"""What results folders and the leaderboard hold, as tables that a notebook shows and draws."""
