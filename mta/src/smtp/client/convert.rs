//! (next step)

/// Why a message stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotConverted {
    /// The channel says `eightstrict`.
    #[error(
        "the message has 8-bit data, the remote host takes only 7 bits, and eightstrict forbids to convert it"
    )]
    Forbidden,
    /// More body parts than will be looked at.
    #[error(
        "the message has 8-bit data, the remote host takes only 7 bits, and it has too many parts to convert"
    )]
    TooComplex,
}

/// To come.
///
/// # Errors
/// [`NotConverted::TooComplex`].
pub fn to_seven_bits(content: &[u8]) -> Result<Vec<u8>, NotConverted> {
    let _ = content;
    Err(NotConverted::TooComplex)
}
