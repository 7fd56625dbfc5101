redirect "away@example.net"; keep;
