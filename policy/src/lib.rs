//! policy

pub mod message;
