"""How well text was read: a corpus scorer, and a comparison with the official system box by box."""
