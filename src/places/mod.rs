//! Places: questions, answers, the desk that asks them, and the embedded gazetteer.

pub mod answer;
pub mod desk;
pub mod gazetteer;
pub mod google_legacy;
pub mod question;
pub mod trust;
