//! metermaid
