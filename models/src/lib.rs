//! Published systems, end to end.
