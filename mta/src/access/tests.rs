//! Cases beyond the vectors.
