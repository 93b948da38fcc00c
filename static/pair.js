// Compare two answers: the steps of the scale by key, the reason that the outer steps need.
