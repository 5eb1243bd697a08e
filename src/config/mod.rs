//! `herd.json` to typed, validated values.
