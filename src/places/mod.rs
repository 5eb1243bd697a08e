//! Places: questions, answers, the dialects of the services, the desk that asks them, and the embedded gazetteer.

pub mod answer;
pub mod desk;
pub mod dialect;
pub mod gazetteer;
pub mod question;
pub mod trust;
