//! What Places is asked.
