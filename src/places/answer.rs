//! What Places answered, and what a client gets of it.
