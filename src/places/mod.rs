//! What is near: questions, answers, and where they come from.

pub mod answer;
pub mod gazetteer;
pub mod google_legacy;
pub mod pool;
pub mod question;
